"""Cross entropy of a sigmoid."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.targets import one_hot


def binary_cross_entropy(logits, labels, *, pos_weight=1.0, ignore=255):
  """Mean sigmoid cross entropy, of one channel or of each class against others.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    pos_weight: factor of the term of the pixels that are of the class.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar, the mean over valid pixels and channels; 0 if no pixel is
    valid.

  References:
    PyTorch's BCEWithLogitsLoss.
  """
  logits = logits.astype(jnp.float32)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  positive = pos_weight * target * jax.nn.log_sigmoid(logits)
  negative = (1 - target) * jax.nn.log_sigmoid(-logits)
  loss = -(positive + negative).mean(-1, keepdims=True)
  return mean_over((loss * valid).sum(), valid.sum())
