"""ConvCRF: a dense CRF of pairs in a window, https://arxiv.org/abs/1805.04777.

A kernel here is an array [S * S, H, W]: what a pixel gives to each pixel of the
window around it, row by row, 0 to those outside the image. As the authors'
code (MarvinTeichmann/ConvCRF) computes it, and checked against it: the first
message is made of log-probabilities, those after it of probabilities.
"""

import math

import jax
import jax.numpy as jnp

from segjax.ops.resize import resize

NORMALIZATIONS = ('none', 'symmetric')


def gaussian_kernel(feats, size):
  """Returns exp(-|f_i - f_j|^2 / 2) of features [H, W, F] in windows."""
  inside = jnp.ones((*feats.shape[:2], 1), feats.dtype)

  def at(index):
    distance = jnp.square(feats - _shift(feats, index, size)).sum(-1)
    return jnp.exp(-0.5 * distance) * _shift(inside, index, size)[..., 0]

  return jax.lax.map(jax.checkpoint(at), jnp.arange(size**2))


def filter_locally(kernel, x):
  """Sums x [H, W, K] over windows, with the weights of a kernel."""
  size = math.isqrt(len(kernel))

  @jax.checkpoint
  def add(total, part):
    index, weight = part
    return total + weight[..., None] * _shift(x, index, size), None

  parts = jnp.arange(size**2), kernel
  return jax.lax.scan(add, jnp.zeros_like(x), parts)[0]


def message(kernels, window, blur=1, normalization='none'):
  """Returns the function for `mean_field` of a sum of Gaussian kernels.

  Args:
    kernels: [(weight, features [H, W, F]), ...], see `features`.
    window: side of the window, odd, in cells.
    blur: side of the cells whose means are features and messages, in pixels.
    normalization: 'none', or 'symmetric': D^-1/2 K D^-1/2 for each kernel K,
      with its row sums D.
  """
  check_window(window, blur)
  if normalization not in NORMALIZATIONS:
    raise ValueError(
        f'normalization={normalization!r} is not one of {NORMALIZATIONS}.'
    )
  size = kernels[0][1].shape[:2]
  weighted = []
  for weight, feats in kernels:
    kernel = gaussian_kernel(shrink(feats, blur), window)
    scale = 1.0
    if normalization == 'symmetric':
      scale = jax.lax.rsqrt(kernel.sum(0) + 1e-20)[..., None]
    weighted.append((weight * kernel, scale))
  if normalization == 'none':  # One pass over the window is enough.
    weighted = [(sum(kernel for kernel, _ in weighted), 1.0)]

  def apply(x):
    x = shrink(x, blur)
    total = sum(
        scale * filter_locally(kernel, scale * x) for kernel, scale in weighted
    )
    return enlarge(total, blur, size)

  return apply


def mixed(message, matrix):
  """Adds to messages what a matrix [K, K] makes of their classes."""

  def apply(x):
    y = message(x)
    return y + jnp.dot(y, matrix, precision=jax.lax.Precision.HIGHEST)

  return apply


def check_window(window, blur):
  """Raises ValueError if there is no such window or cell."""
  if window < 1 or window % 2 == 0:
    raise ValueError(f'window={window} must be an odd number.')
  if blur < 1:
    raise ValueError(f'blur={blur} must be at least 1.')


def features(image, position_scale, color_scale, color_position_scale=0.0):
  """Returns features of the two kernels, [H, W, 2] and [H, W, 3 or 5].

  Args:
    image: [H, W, 3], colours of 0 to 255.
    position_scale: 1 / width in pixels, of the kernel of positions.
    color_scale: 1 / width in colours, of that of colours.
    color_position_scale: 1 / width in pixels of the latter; 0: it sees colours
      alone, as in the authors' code by default.
  """
  h, w, _ = image.shape
  position = jnp.stack(jnp.mgrid[:h, :w], -1).astype(jnp.float32)
  color = image.astype(jnp.float32) * color_scale
  both = jnp.concatenate([position * color_position_scale, color], -1)
  return position * position_scale, both


def shrink(x, blur):
  """Averages [H, W, C] over cells of `blur` x `blur`, those of the image."""
  h, w, _ = x.shape
  top, left = _border(h, blur), _border(w, blur)
  rows, columns = -(-h // blur), -(-w // blur)
  borders = (top, rows * blur - h - top), (left, columns * blur - w - left)

  def sums(y):
    y = jnp.pad(y, (*borders, (0, 0)))
    return y.reshape(rows, blur, columns, blur, -1).sum((1, 3))

  return sums(x) / sums(jnp.ones((h, w, 1), x.dtype))


def enlarge(x, blur, size):
  """Brings what `shrink` made back to the size (height, width)."""
  (h, w), (rows, columns, _) = size, x.shape
  y = resize(x[None], (rows * blur, columns * blur))[0]
  top, left = _border(h, blur), _border(w, blur)
  return y[top : top + h, left : left + w]


def mean_field(unary, message, iterations, *, weight, unary_weight=1.0):
  """Returns logits of the mean field.

  Args:
    unary: [H, W, K] logits.
    message: function from (log-)probabilities [H, W, K] to the like.
    iterations: number of updates; 0 returns log-probabilities.
    weight: of messages against `unary`, a number or [K].
    unary_weight: what the weight of `unary` and `weight` sum to.
  """
  unary = jax.nn.log_softmax(unary)

  def update(x):
    return (unary_weight - weight) * unary + weight * message(x)

  if not iterations:
    return unary
  return jax.lax.scan(
      lambda logits, _: (update(jax.nn.softmax(logits)), None),
      update(unary),
      length=iterations - 1,
  )[0]


def _shift(x, index, size):
  """The neighbour of each pixel [H, W, C] at a place of its window, or 0."""
  h, w, c = x.shape
  reach = size // 2
  padded = jnp.pad(x, ((reach, reach), (reach, reach), (0, 0)))
  start = index // size, index % size, 0
  return jax.lax.dynamic_slice(padded, start, (h, w, c))


def _border(side, blur):
  """Of the pixels that a side lacks to full cells, those before it."""
  return -(-(-side % blur) // 2)
