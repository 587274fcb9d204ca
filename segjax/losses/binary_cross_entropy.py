"""Sigmoid cross entropy."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import class_mean
from segjax.ops.reduce import mean_over
from segjax.ops.reduce import sum_over
from segjax.ops.targets import one_hot


def binary_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    pos_weight: float = 1.0,
    average: bool = True,
    extra_pixels: float = 0.0,
    label_smoothing: float = 0.0,
    divide_by: str = 'valid',
    ignore: int = 255,
) -> jax.Array:
  """Computes the mean sigmoid cross entropy over pixels and channels.

  Each channel is a binary problem, its class against all others.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, weights of the channels in their mean. Of
      one channel, [2]: weights of the pixels of class 0 and of class 1.
    pos_weight: factor of the pixels of the class (the positives).
    average: whether it is the mean over channels, else the sum.
    extra_pixels: added to the number of valid pixels that the sum is divided
      by; NVIDIA's code adds 1.
    label_smoothing: targets are this and 1 minus this, in the place of 0 and 1.
    divide_by: what the sum over valid pixels is divided by: the number of
      'valid' pixels, or of 'all', as in segmentation_models_pytorch.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the mean over valid pixels and channels; 0 if no pixel is
    valid.

  References:
    PyTorch's BCEWithLogitsLoss; SoftBCEWithLogitsLoss of
    segmentation_models_pytorch 0.6.0 for `label_smoothing`.
  """
  if divide_by not in ('valid', 'all'):
    raise ValueError(
        f"binary_cross_entropy(divide_by={divide_by!r}): known are 'valid' and"
        " 'all'."
    )
  logits = logits.astype(jnp.float32)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  share = target + label_smoothing * (1 - 2 * target)  # Of the positives.
  positive = pos_weight * share * jax.nn.log_sigmoid(logits)
  negative = (1 - share) * jax.nn.log_sigmoid(-logits)
  loss = -(positive + negative)
  if loss.shape[-1] == 1 and class_weights is not None:
    counted = valid * jnp.where(target == 1, class_weights[1], class_weights[0])
  else:
    channels = loss.shape[-1]
    loss = class_mean(loss, class_weights)[..., None]
    if not average:
      loss = channels * loss
    counted = valid
  # Each device and part of a batch has its share of the extra pixels.
  extra = extra_pixels / sum_over(1.0)
  count = counted.sum() if divide_by == 'valid' else counted.size
  return mean_over((loss * counted).sum(), count + extra)
