"""Tversky loss and focal Tversky loss."""

import jax.numpy as jnp

from segjax.ops.reduce import ratio
from segjax.ops.reduce import region_mean
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot
from segjax.ops.targets import probabilities


def tversky(
    logits,
    labels,
    *,
    alpha=0.3,
    beta=0.7,
    power=1.0,
    per_image=False,
    smooth=1.0,
    ignore=255,
):
  """One minus the Tversky index of each class, with probabilities.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 where K is 1, or `ignore`;
      others are ignored too.
    alpha: factor of false positives.
    beta: factor of false negatives.
    power: of the loss of each class; that of focal Tversky is 0.75.
    per_image: whether to average the losses of images, those without a valid
      pixel left out, else the batch is taken as one image.
    smooth: added to numerator and denominator.
    ignore: label of pixels that count neither as right nor as wrong.

  Returns:
    A float32 scalar, the mean over classes; 0 if no pixel is valid.

  References:
    Salehi et al. 2017, https://arxiv.org/abs/1706.05721. The power: Abraham and
    Khan 2018, https://arxiv.org/abs/1810.07842, their 1 / gamma. With
    `per_image` this is mmsegmentation 1.2.2's TverskyLoss.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = valid * probabilities(logits)
  hits, false_positives, false_negatives = (
      region_sum(x, per_image)
      for x in (probs * target, probs * (1 - target), (1 - probs) * target)
  )
  wrong = alpha * false_positives + beta * false_negatives
  loss = ratio(wrong, hits + wrong + smooth)
  # A power below 1 has no finite gradient at 0.
  loss = jnp.where(loss > 0, jnp.where(loss > 0, loss, 1.0) ** power, 0.0)
  return region_mean(loss.mean(-1), valid, per_image)
