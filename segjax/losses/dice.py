"""Soft Dice loss."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import class_mean
from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def dice(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    squared: bool = False,
    per_image: bool = False,
    smooth: float = 1.0,
    ignore: int = 255,
) -> jax.Array:
  """Computes one minus the soft Dice coefficient, averaged over classes.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, weights of the classes in the mean over them.
    squared: whether the denominator sums squares of probabilities.
    per_image: whether to average the losses of the images that have a valid
      pixel, else the batch counts as one image.
    smooth: added to numerator and denominator of the coefficient. The loss of a
      class that does not occur is 1 - smooth / (sum of its probabilities +
      smooth).
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the mean over classes; 0 if no pixel is valid.

  References:
    Milletari et al., V-Net, 2016, https://arxiv.org/abs/1606.04797, section 3,
    for `squared`.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = valid * probabilities(logits)
  hits = region_sum(probs * target, per_image)
  sizes = (jnp.square(probs) if squared else probs) + target
  sizes = region_sum(sizes, per_image)
  loss = ratio(sizes - 2 * hits, sizes + smooth)
  return region_mean(class_mean(loss, class_weights), valid, per_image)
