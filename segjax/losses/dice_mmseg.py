"""Soft Dice loss of mmsegmentation."""

import jax.numpy as jnp

from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def dice_mmseg(logits, labels, *, naive=False, eps=1e-3, ignore=255):
  """One minus the Dice coefficient of all classes together, image by image.

  Ignored pixels are of no class, but their probabilities are part of the
  denominator. They get a gradient therefore, here alone among the losses.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    naive: whether the denominator sums probabilities, else their squares.
    eps: added to the sums.
    ignore: label of pixels that are of no class.

  Returns:
    A float32 scalar, the mean over the images with a valid pixel; 0 if there is
    none.

  References:
    mmsegmentation 1.2.2's DiceLoss, `naive` its `naive_dice`.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = probabilities(logits)
  size = probs if naive else jnp.square(probs)
  hits, predicted, true = (
      region_sum(x, per_image=True).sum(-1)
      for x in (probs * target, size, target)
  )
  if naive:
    score = (2 * hits + eps) / (predicted + true + eps)
  else:
    score = 2 * hits / (predicted + true + 2 * eps)
  return region_mean(1 - score, valid, per_image=True)
