"""Combo loss: cross entropy less Dice coefficient."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot


def combo(
    logits,
    labels,
    *,
    alpha=0.5,
    beta=0.5,
    average=False,
    smooth=1.0,
    ignore=255,
):
  """Weighted cross entropy less the Dice coefficient, of sigmoids.

  It is negative where the prediction is good.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    alpha: factor of the cross entropy; 1 - alpha that of the coefficient.
    beta: factor of the pixels of a class in its cross entropy, 1 - beta that of
      others: below 0.5 it is for fewer false positives, above for fewer
      false negatives.
    average: whether coefficients are averaged over classes, else summed, as
      the paper writes them.
    smooth: added to numerator and denominator of the coefficient.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Taghanaki et al., Combo Loss, 2018, https://arxiv.org/abs/1805.02798.
  """
  logits = logits.astype(jnp.float32)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  positive = beta * target * jax.nn.log_sigmoid(logits)
  negative = (1 - beta) * (1 - target) * jax.nn.log_sigmoid(-logits)
  entropy = -(positive + negative).mean(-1, keepdims=True)
  entropy = mean_over((entropy * valid).sum(), valid.sum())

  probs = valid * jax.nn.sigmoid(logits)
  hits = region_sum(probs * target, per_image=False)
  sizes = region_sum(probs + target, per_image=False)
  scores = ratio(2 * hits + smooth, sizes + smooth)
  score = scores.mean(-1) if average else scores.sum(-1)
  score = region_mean(score, valid, per_image=False)
  return alpha * entropy - (1 - alpha) * score
