"""Combo loss: weighted sigmoid cross entropy minus the Dice coefficient."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import class_mean
from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot


def combo(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    alpha: float = 0.5,
    beta: float = 0.5,
    average: bool = False,
    smooth: float = 1.0,
    ignore: int = 255,
) -> jax.Array:
  """Computes alpha * cross entropy - (1 - alpha) * Dice coefficient.

  Both are of a sigmoid for each channel. The loss of a good prediction is
  negative.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, weights of the classes in the mean over them.
    alpha: factor of the cross entropy; the coefficient has 1 - alpha.
    beta: factor of the pixels of the class in the cross entropy; other pixels
      have 1 - beta. Values below 0.5 penalise false positives more, values
      above 0.5 false negatives.
    average: whether the coefficients are averaged over classes, else summed as
      in the paper.
    smooth: added to numerator and denominator of the coefficient.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Taghanaki et al., Combo Loss, 2018, https://arxiv.org/abs/1805.02798.
  """
  logits = logits.astype(jnp.float32)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  positive = beta * target * jax.nn.log_sigmoid(logits)
  negative = (1 - beta) * (1 - target) * jax.nn.log_sigmoid(-logits)
  entropy = class_mean(-(positive + negative), class_weights)[..., None]
  entropy = mean_over((entropy * valid).sum(), valid.sum())

  probs = valid * jax.nn.sigmoid(logits)
  hits = region_sum(probs * target, per_image=False)
  sizes = region_sum(probs + target, per_image=False)
  scores = ratio(2 * hits + smooth, sizes + smooth)
  score = class_mean(scores, class_weights)
  if not average:
    score *= scores.shape[-1]
  score = region_mean(score, valid, per_image=False)
  return alpha * entropy - (1 - alpha) * score
