"""Soft Dice loss."""

import jax.numpy as jnp

from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def dice(
    logits, labels, *, squared=False, per_image=False, smooth=1.0, ignore=255
):
  """One minus the Dice coefficient of each class, with probabilities.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    squared: whether the denominator sums the squares of probabilities.
    per_image: whether to average the losses of images, those without a valid
      pixel left out, else the batch is taken as one image.
    smooth: added to numerator and denominator. A class that occurs nowhere has
      a loss, 1 - smooth / (sum of its probabilities + smooth).
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar, the mean over classes; 0 if no pixel is valid.

  References:
    Milletari et al., V-Net, 2016, https://arxiv.org/abs/1606.04797, section 3,
    has the squares.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = valid * probabilities(logits)
  hits = region_sum(probs * target, per_image)
  sizes = (jnp.square(probs) if squared else probs) + target
  sizes = region_sum(sizes, per_image)
  loss = ratio(sizes - 2 * hits, sizes + smooth)
  return region_mean(loss.mean(-1), valid, per_image)
