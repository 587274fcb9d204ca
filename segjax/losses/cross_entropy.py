"""Softmax cross entropy."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.reduce import sum_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    class_weights: jax.Array | None = None,
    pixel_weights: jax.Array | None = None,
    label_smoothing: float = 0.0,
    divide_by: str = 'weights',
    ignore: int = 255,
) -> jax.Array:
  """Computes the mean softmax cross entropy over pixels.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K). Others are ignored like `ignore`.
    class_weights: [K] or None, factors of the pixels of each class.
    pixel_weights: [B, H, W] or None, factors of the pixels.
    label_smoothing: share of the target that is spread evenly over classes.
    divide_by: what the sum over valid pixels is divided by: the sum of their
      'weights', by class as in PyTorch and by pixel; the number of 'valid'
      pixels; the number of 'all' pixels, as in mmsegmentation; or 'nothing', as
      in the heavy learning of FCN.
    ignore: label of pixels that do not count.

  Returns:
    A float32 scalar; 0 if no pixel is valid.

  References:
    Long et al., Fully Convolutional Networks for Semantic Segmentation, 2015,
    https://arxiv.org/abs/1411.4038, section 4; heavy learning is in the longer
    version, https://arxiv.org/abs/1605.06211. Label smoothing: Szegedy et al.
    2016, https://arxiv.org/abs/1512.00567, section 7.
  """
  logits = class_logits(logits)
  num_classes = logits.shape[-1]
  if class_weights is None:
    class_weights = jnp.ones(num_classes)
  # A product with one-hot targets has a cheaper gradient than a gather.
  target, valid = one_hot(labels, num_classes, ignore)
  target = target * class_weights
  spread = label_smoothing / num_classes * class_weights
  smooth = (1 - label_smoothing) * target + spread
  loss = -(smooth * jax.nn.log_softmax(logits)).sum(-1, keepdims=True)
  counted = valid if pixel_weights is None else valid * pixel_weights[..., None]
  match divide_by:
    case 'weights':
      count = (target.sum(-1, keepdims=True) * counted).sum()
    case 'valid':
      count = valid.sum()
    case 'all':
      count = valid.size
    case 'nothing':
      return sum_over((loss * counted).sum())
    case _:
      raise ValueError(
          f'cross_entropy(divide_by={divide_by!r}): known are'
          " 'weights', 'valid', 'all' and 'nothing'."
      )
  return mean_over((loss * counted).sum(), count)
