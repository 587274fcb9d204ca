"""Softmax cross entropy with the weights of classes taken from the batch."""

import jax

from segjax import parallel
from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def batch_weighted_cross_entropy(
    logits: jax.Array, labels: jax.Array, *, ignore: int = 255
) -> jax.Array:
  """Computes a cross entropy in which rare classes of the batch count more.

  The weight of a class is 1 less its share of the valid pixels of the global
  batch.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K). Others are ignored like `ignore`.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the weighted mean over pixels; 0 if no pixel is valid, or
    all are of one class.

  References:
    Yuan et al., SegFix, 2020, https://arxiv.org/abs/2007.04269, as its authors'
    code has it.
  """
  logits = class_logits(logits)
  target, _ = one_hot(labels, logits.shape[-1], ignore)
  counts = target.sum((0, 1, 2))
  everywhere = parallel.psum(counts)
  weights = 1 - ratio(everywhere, everywhere.sum())
  entropy = -(target * jax.nn.log_softmax(logits)).sum((0, 1, 2))
  return mean_over((entropy * weights).sum(), (counts * weights).sum())
