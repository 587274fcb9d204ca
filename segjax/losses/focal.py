"""Softmax focal loss."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def focal(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    gamma: float = 2.0,
    ignore: int = 255,
) -> jax.Array:
  """Computes the mean of (1 - p) ** gamma times the cross entropy -log(p).

  p is the probability of the true class of a pixel.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K). Others are ignored like `ignore`.
    class_weights: [K] or None, factors of the pixels of each class. The sum is
      divided by the number of pixels, not by their weights.
    gamma: exponent. Larger values weigh easy pixels down.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the mean over valid pixels; 0 if none is valid.

  References:
    Lin et al., Focal Loss for Dense Object Detection, 2017,
    https://arxiv.org/abs/1708.02002, equation 4, with a softmax.
  """
  logits = class_logits(logits)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  log_probs = jax.nn.log_softmax(logits)
  # (1 - p) ** gamma has no finite gradient where p rounds to 1; the sum of the
  # probabilities of the other classes has.
  log_rest = jax.nn.logsumexp(
      log_probs, axis=-1, keepdims=True, where=target == 0
  )
  loss = -jnp.exp(gamma * log_rest) * target * log_probs
  if class_weights is not None:
    loss = loss * class_weights
  return mean_over(loss.sum(), valid.sum())
