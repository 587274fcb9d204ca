"""Softmax cross entropy with the weights of classes taken from each image."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.reduce import ratio
from segjax.ops.reduce import sum_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def image_weighted_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    average: bool = True,
    ignore: int = 255,
) -> jax.Array:
  """Computes a cross entropy in which rare classes of an image count more.

  The weight of a class is 2 less its share of the valid pixels of the image,
  and the loss of an image the weighted mean over its pixels.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K). Others are ignored like `ignore`.
    average: whether it is the mean over images with a valid pixel, else the sum
      over images. The authors' code sums over the images of a device.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Takikawa et al., Gated-SCNN, 2019, https://arxiv.org/abs/1907.05740, as its
    authors' code has it.
  """
  logits = class_logits(logits)
  target, _ = one_hot(labels, logits.shape[-1], ignore)
  counts = target.sum((1, 2))
  valid = counts.sum(-1)
  weights = 2 - counts / jnp.maximum(valid, 1)[:, None]
  entropy = -(target * jax.nn.log_softmax(logits)).sum((1, 2))
  loss = ratio((entropy * weights).sum(-1), (counts * weights).sum(-1)).sum()
  return mean_over(loss, (valid > 0).sum()) if average else sum_over(loss)
