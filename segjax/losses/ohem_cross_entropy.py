"""Cross entropy over the hardest pixels (online hard example mining)."""

import jax
import jax.numpy as jnp

from segjax import parallel
from segjax.ops.reduce import mean_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def ohem_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    threshold: float = 0.7,
    min_kept: int = 100_000,
    divide_by: str = 'kept',
    inclusive: bool = False,
    ignore: int = 255,
) -> jax.Array:
  """Computes the mean cross entropy of pixels whose true class is improbable.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K). Others are ignored like `ignore`.
    class_weights: [K] or None, factors of the pixels of each class. The sum is
      divided by a number of pixels, not by their weights.
    threshold: a pixel is kept if the probability of its true class is lower.
      With 0 only the `min_kept` hardest pixels per image are kept.
    min_kept: least number of pixels to keep, per image on average: the
      threshold rises until the global batch keeps that many. A batch with fewer
      valid pixels keeps all but the easiest pixel.
    divide_by: what the sum over the kept pixels is divided by: the number of
      'kept' pixels, or of 'all' pixels as in mmsegmentation.
    inclusive: whether a pixel at the threshold is kept as well. The easiest of
      the `min_kept` pixels is then one of those that are kept, and a batch with
      fewer valid pixels keeps all of them, as in SFNet's code.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is kept.

  References:
    Shrivastava et al. 2016, https://arxiv.org/abs/1604.03540. Pixels are chosen
    as by OHEMPixelSampler of mmsegmentation 1.2.2.
  """
  logits = class_logits(logits)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  log_probs = jax.nn.log_softmax(logits)
  loss = -(target * log_probs).sum(-1, keepdims=True)
  # The threshold depends on the global batch, so probabilities are gathered.
  prob = jax.lax.stop_gradient(jnp.where(valid, jnp.exp(-loss), jnp.inf))
  ordered = jnp.sort(parallel.all_gather(prob).ravel())
  images = ordered.size // (labels.shape[1] * labels.shape[2])
  count = jnp.isfinite(ordered).sum()
  least = min_kept * images - (1 if inclusive else 0)
  place = jnp.clip(least, 0, jnp.maximum(count - 1, 0))
  limit = jnp.maximum(threshold, ordered[place])
  kept = valid & ((prob <= limit) if inclusive else (prob < limit))
  if class_weights is not None:
    loss = loss * (target * class_weights).sum(-1, keepdims=True)
  match divide_by:
    case 'kept':
      count = kept.sum()
    case 'all':
      count = kept.size
    case _:
      raise ValueError(
          f'ohem_cross_entropy(divide_by={divide_by!r}): known are'
          " 'kept' and 'all'."
      )
  return mean_over((loss * kept).sum(), count)
