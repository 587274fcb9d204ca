"""Sigmoid focal loss."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.targets import one_hot


def binary_focal(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    gamma: float = 2.0,
    alpha: float = 0.25,
    ignore: int = 255,
) -> jax.Array:
  """Computes the mean sigmoid focal loss over pixels and channels.

  Each channel is a binary problem, its class against all others.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, factors of the channels. Of one channel, [2]:
      factors of the pixels of class 0 and of class 1. They are not counted.
    gamma: exponent of the probability of the wrong answer. Larger values weigh
      easy pixels down.
    alpha: factor of the pixels of the class; other pixels have 1 - alpha.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the mean over valid pixels and channels; 0 if no pixel is
    valid.

  References:
    Lin et al., Focal Loss for Dense Object Detection, 2017,
    https://arxiv.org/abs/1708.02002, equation 5.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  # The sign makes them logits of the right answer.
  logits = (2 * target - 1) * logits.astype(jnp.float32)
  weight = jnp.where(target == 1, alpha, 1 - alpha)
  # (1 - p) ** gamma has no finite gradient where p rounds to 1; this form has.
  weight = weight * jnp.exp(gamma * jax.nn.log_sigmoid(-logits))
  if class_weights is not None and logits.shape[-1] == 1:
    class_weights = jnp.where(target == 1, class_weights[1], class_weights[0])
  if class_weights is not None:
    weight = weight * class_weights
  loss = -(weight * jax.nn.log_sigmoid(logits)).mean(-1, keepdims=True)
  return mean_over((loss * valid).sum(), valid.sum())
