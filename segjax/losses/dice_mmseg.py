"""Soft Dice loss as mmsegmentation computes it."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def dice_mmseg(
    logits: jax.Array,
    labels: jax.Array,
    *,
    naive: bool = False,
    eps: float = 1e-3,
    ignore: int = 255,
) -> jax.Array:
  """Computes one minus the Dice coefficient of an image, classes together.

  Ignored pixels belong to no class, but their probabilities are part of the
  denominator. So they get a gradient, unlike in the other losses.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    naive: whether the denominator sums probabilities, else their squares.
    eps: added to the sums of the coefficient.
    ignore: label of pixels that are of no class.

  Returns:
    A float32 scalar, the mean over the images that have a valid pixel; 0 if
    none has.

  References:
    DiceLoss of mmsegmentation 1.2.2; `naive` is its `naive_dice`.
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
