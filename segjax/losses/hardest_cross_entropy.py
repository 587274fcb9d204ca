"""Cross entropy over a fixed share of the pixels, the hardest."""

import jax
import jax.numpy as jnp

from segjax import parallel
from segjax.ops.reduce import mean_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def hardest_cross_entropy(
    logits,
    labels,
    *,
    class_weights=None,
    pixel_weights=None,
    fraction=0.2,
    ignore=255,
):
  """Mean of the largest cross entropies, those of a fraction of all pixels.

  `ohem_cross_entropy` mines by the probability of the true class instead, and
  counts valid pixels alone.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K) or `ignore`; others are ignored too.
    class_weights: [K] or None, factors of the pixels of each class.
    pixel_weights: [B, H, W] or None, factors of the pixels. What is large after
      both factors counts as hard.
    fraction: of the pixels of the global batch, to be averaged over. Ignored
      ones are among them, with a cross entropy of 0.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Yang et al., DeeperLab, 2019, https://arxiv.org/abs/1902.05093, section 3.2;
    the rule is that of Panoptic-DeepLab, bowenc0221's `DeepLabCE`.
  """
  if not 0 < fraction <= 1:
    raise ValueError(
        f'hardest_cross_entropy(fraction={fraction}): expected a fraction above'
        ' 0 and up to 1.'
    )
  logits = class_logits(logits)
  target, _ = one_hot(labels, logits.shape[-1], ignore)
  if class_weights is not None:
    target = target * class_weights
  loss = -(target * jax.nn.log_softmax(logits)).sum(-1)
  if pixel_weights is not None:
    loss = loss * pixel_weights
  # The rule looks at the whole batch, so it looks across devices.
  ordered = jnp.sort(parallel.all_gather(jax.lax.stop_gradient(loss)).ravel())
  count = max(1, int(fraction * ordered.size))
  lowest = ordered[-count]
  # Pixels as hard as the last one share the places that are left.
  places = count - (ordered > lowest).sum()
  share = places / (ordered == lowest).sum()
  kept = jnp.where(loss > lowest, 1.0, jnp.where(loss == lowest, share, 0.0))
  return mean_over((loss * kept).sum(), count * loss.size / ordered.size)
