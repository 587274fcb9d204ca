"""Tversky, Dice and Jaccard losses as segmentation_models_pytorch has them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from segjax.ops.reduce import class_mean
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities

EPSILON = 1e-7  # The least denominator, and the least index in a logarithm.


def tversky_smp(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    alpha: float = 0.5,
    beta: float = 0.5,
    power: float = 1.0,
    smooth: float = 0.0,
    log: bool = False,
    classes: Sequence[int] = (),
    ignore: int = 255,
) -> jax.Array:
  """Computes one minus the soft Tversky index of the batch, over all classes.

  Unlike in `tversky`, a class without a true pixel has a loss of 0 and still
  counts in the mean over classes, and the power is that of the mean. The
  defaults are the Dice loss; the Jaccard loss has alpha = beta = 1.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, weights of the classes in the mean over them.
    alpha: factor of false positives.
    beta: factor of false negatives.
    power: exponent of the mean.
    smooth: added to numerator and denominator of the index.
    log: whether the loss of a class is minus the logarithm of its index.
    classes: those that are averaged; () averages all.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    TverskyLoss, DiceLoss and JaccardLoss of segmentation_models_pytorch 0.6.0;
    Salehi et al. 2017, https://arxiv.org/abs/1706.05721.
  """
  channels = logits.shape[-1]
  target, valid = one_hot(labels, channels, ignore)
  probs = valid * probabilities(logits)
  hits, predicted, true = (
      region_sum(x, per_image=False) for x in (probs * target, probs, target)
  )
  wrong = alpha * (predicted - hits) + beta * (true - hits)
  index = (hits + smooth) / jnp.maximum(hits + wrong + smooth, EPSILON)
  loss = -jnp.log(jnp.maximum(index, EPSILON)) if log else 1 - index
  loss = jnp.where(true > 0, loss, 0.0)
  counted = jnp.ones(channels)
  if classes:
    counted = jnp.isin(jnp.arange(channels), jnp.asarray(classes))
  mean = class_mean(loss, class_weights, counted * 1.0)
  # A power below 1 has no finite gradient at 0, so 0 takes another branch.
  mean = jnp.where(mean > 0, jnp.where(mean > 0, mean, 1.0) ** power, 0.0)
  return region_mean(mean, valid, per_image=False)
