"""Focal loss of a softmax."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def focal(logits, labels, *, class_weights=None, gamma=2.0, ignore=255):
  """Mean cross entropy times a power of the probability of the other classes.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K) or `ignore`; others are ignored too.
    class_weights: [K] or None; they multiply, and do not enter the count.
    gamma: the power; the larger, the less do easy pixels count.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar, the mean over valid pixels; 0 if none is valid.

  References:
    Lin et al., Focal Loss for Dense Object Detection, 2017,
    https://arxiv.org/abs/1708.02002, equation 4, with a softmax.
  """
  logits = class_logits(logits)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  log_probs = jax.nn.log_softmax(logits)
  # A power of 1 - p itself has no finite gradient where p rounds to 1.
  log_rest = jax.nn.logsumexp(
      log_probs, axis=-1, keepdims=True, where=target == 0
  )
  loss = -jnp.exp(gamma * log_rest) * target * log_probs
  if class_weights is not None:
    loss = loss * class_weights
  return mean_over(loss.sum(), valid.sum())
