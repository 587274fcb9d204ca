"""Cross entropy over the hardest pixels."""

import jax
import jax.numpy as jnp

from segjax import parallel
from segjax.ops.reduce import mean_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def ohem_cross_entropy(
    logits,
    labels,
    *,
    class_weights=None,
    threshold=0.7,
    min_kept=100_000,
    divide_by='kept',
    ignore=255,
):
  """Mean cross entropy of the pixels whose true class is not yet probable.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K) or `ignore`; others are ignored too.
    class_weights: [K] or None; they multiply, and do not enter the count.
    threshold: a pixel is kept if the probability of its class is lower; with 0
      just the hardest are, `min_kept` of them.
    min_kept: pixels to keep per image at the least; the threshold rises to
      keep that many over the global batch. A batch with fewer valid pixels
      keeps all but the easiest.
    divide_by: what the sum over the kept pixels is divided by: the number of
      'kept' pixels, or of 'all' pixels, as in mmsegmentation.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar; 0 if no pixel is kept.

  References:
    Shrivastava et al. 2016, https://arxiv.org/abs/1604.03540; the rule is that
    of mmsegmentation 1.2.2's OHEMPixelSampler.
  """
  logits = class_logits(logits)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  log_probs = jax.nn.log_softmax(logits)
  loss = -(target * log_probs).sum(-1, keepdims=True)
  # The rule looks at the whole batch, so it looks across devices.
  prob = jax.lax.stop_gradient(jnp.where(valid, jnp.exp(-loss), jnp.inf))
  ordered = jnp.sort(parallel.all_gather(prob).ravel())
  images = ordered.size // (labels.shape[1] * labels.shape[2])
  count = jnp.isfinite(ordered).sum()
  place = jnp.minimum(min_kept * images, jnp.maximum(count - 1, 0))
  kept = valid & (prob < jnp.maximum(threshold, ordered[place]))
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
