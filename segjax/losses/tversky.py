"""Tversky loss and focal Tversky loss."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import class_mean
from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def tversky(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    alpha: float = 0.3,
    beta: float = 0.7,
    power: float = 1.0,
    per_image: bool = False,
    smooth: float = 1.0,
    ignore: int = 255,
) -> jax.Array:
  """Computes one minus the soft Tversky index, averaged over classes.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, weights of the classes in the mean over them.
    alpha: factor of false positives.
    beta: factor of false negatives.
    power: exponent of the loss of each class; focal Tversky has 0.75.
    per_image: whether to average the losses of the images that have a valid
      pixel, else the batch counts as one image.
    smooth: added to numerator and denominator of the index.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the mean over classes; 0 if no pixel is valid.

  References:
    Salehi et al. 2017, https://arxiv.org/abs/1706.05721. The power is 1 / gamma
    of Abraham and Khan 2018, https://arxiv.org/abs/1810.07842. With `per_image`
    this is the TverskyLoss of mmsegmentation 1.2.2.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = valid * probabilities(logits)
  hits, false_positives, false_negatives = (
      region_sum(x, per_image)
      for x in (probs * target, probs * (1 - target), (1 - probs) * target)
  )
  wrong = alpha * false_positives + beta * false_negatives
  loss = ratio(wrong, hits + wrong + smooth)
  # A power below 1 has no finite gradient at 0, so 0 takes another branch.
  loss = jnp.where(loss > 0, jnp.where(loss > 0, loss, 1.0) ** power, 0.0)
  return region_mean(class_mean(loss, class_weights), valid, per_image)
