"""Loss of Matthews' correlation coefficient, of two classes."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot

EPSILON = 1e-5  # Added to each count.


def mcc(
    logits: jax.Array, labels: jax.Array, *, ignore: int = 255
) -> jax.Array:
  """Computes one minus the correlation of truth and prediction.

  Of several channels each is a binary problem, its class against all others,
  and their losses are averaged.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, from 0 to 2; 0 if no pixel is valid.

  References:
    Abhishek and Hamarneh, Matthews Correlation Coefficient Loss, 2021,
    https://arxiv.org/abs/2010.13454; MCCLoss of segmentation_models_pytorch
    0.6.0, which has one channel and takes probabilities.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = jax.nn.sigmoid(logits.astype(jnp.float32))
  hits, rejections, false_positives, false_negatives = (
      region_sum(valid * x, per_image=False) + EPSILON
      for x in (
          probs * target,
          (1 - probs) * (1 - target),
          probs * (1 - target),
          (1 - probs) * target,
      )
  )
  product = jnp.sqrt(hits + false_positives) * jnp.sqrt(hits + false_negatives)
  product *= jnp.sqrt(rejections + false_positives)
  product *= jnp.sqrt(rejections + false_negatives)
  covariance = hits * rejections - false_positives * false_negatives
  loss = (1 - covariance / product).mean(-1)
  return region_mean(loss, valid, per_image=False)
