"""Focal loss of a sigmoid."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.targets import one_hot


def binary_focal(logits, labels, *, gamma=2.0, alpha=0.25, ignore=255):
  """Mean focal loss of one channel, or of each class against the others.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    gamma: power of the probability of being wrong; the larger, the less do
      easy pixels count.
    alpha: factor of the pixels that are of the class; 1 - alpha for others.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar, the mean over valid pixels and channels; 0 if no pixel is
    valid.

  References:
    Lin et al., Focal Loss for Dense Object Detection, 2017,
    https://arxiv.org/abs/1708.02002, equation 5.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  logits = (2 * target - 1) * logits.astype(jnp.float32)  # Of being right.
  weight = jnp.where(target == 1, alpha, 1 - alpha)
  # A power of 1 - p itself has no finite gradient where p rounds to 1.
  weight = weight * jnp.exp(gamma * jax.nn.log_sigmoid(-logits))
  loss = -(weight * jax.nn.log_sigmoid(logits)).mean(-1, keepdims=True)
  return mean_over((loss * valid).sum(), valid.sum())
