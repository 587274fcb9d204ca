"""Sigmoid focal loss."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.reduce import region_sum
from segjax.ops.targets import one_hot


def binary_focal(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    gamma: float = 2.0,
    alpha: float = 0.25,
    whole_below: float = 0.0,
    normalized: bool = False,
    ignore: int = 255,
) -> jax.Array:
  """Computes the mean sigmoid focal loss over pixels and channels.

  Each channel is a binary problem, its class against all others.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    class_weights: [K] or None, factors of the channels. Of one channel, [2]:
      factors of the pixels of class 0 and of class 1. They are not counted.
    gamma: exponent of the probability of the wrong answer. Larger values weigh
      easy pixels down.
    alpha: factor of the pixels of the class; other pixels have 1 - alpha.
    whole_below: probability p of the right answer below which pixels are not
      weighed down; above it the weight is ((1 - p) / whole_below) ** gamma. 0
      weighs all down, by (1 - p) ** gamma.
    normalized: whether the mean of each channel is divided by the sum of the
      weights of its pixels too, which changes nothing but the scale.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar, the mean over valid pixels and channels; 0 if no pixel is
    valid.

  References:
    Lin et al., Focal Loss for Dense Object Detection, 2017,
    https://arxiv.org/abs/1708.02002, equation 5. The last two options are those
    of FocalLoss in segmentation_models_pytorch 0.6.0.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  # The sign makes them logits of the right answer.
  logits = (2 * target - 1) * logits.astype(jnp.float32)
  # (1 - p) ** gamma has no finite gradient where p rounds to 1; this form has.
  weight = jnp.exp(gamma * jax.nn.log_sigmoid(-logits))
  if whole_below:
    whole = jax.nn.sigmoid(logits) < whole_below
    weight = jnp.where(whole, 1.0, weight / whole_below**gamma)
  if normalized:
    total = region_sum(valid * weight, per_image=False)
    weight = weight / jnp.maximum(total, 1e-6)
  weight = weight * jnp.where(target == 1, alpha, 1 - alpha)
  if class_weights is not None and logits.shape[-1] == 1:
    class_weights = jnp.where(target == 1, class_weights[1], class_weights[0])
  if class_weights is not None:
    weight = weight * class_weights
  loss = -(weight * jax.nn.log_sigmoid(logits)).mean(-1, keepdims=True)
  return mean_over((loss * valid).sum(), valid.sum())
