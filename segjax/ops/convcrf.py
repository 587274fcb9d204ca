"""ConvCRF: a CRF that connects the pixels of a window.

https://arxiv.org/abs/1805.04777. A kernel here is an array [S * S, H, W]: for
each pixel the weights of the S x S pixels around it, row by row, 0 for those
outside the image. As in the authors' code (MarvinTeichmann/ConvCRF), against
which this was checked, the first message is computed from log-probabilities and
later ones from probabilities.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math

import jax
import jax.numpy as jnp

from segjax.ops.resize import resize

NORMALIZATIONS = ('none', 'symmetric')


def gaussian_kernel(feats: jax.Array, size: int) -> jax.Array:
  """Returns the kernel exp(-|f_i - f_j|^2 / 2) of features [H, W, F].

  Args:
    feats: [H, W, F].
    size: side S of the window.

  Returns:
    [S * S, H, W].
  """
  inside = jnp.ones((*feats.shape[:2], 1), feats.dtype)

  def at(index):
    distance = jnp.square(feats - _shift(feats, index, size)).sum(-1)
    return jnp.exp(-0.5 * distance) * _shift(inside, index, size)[..., 0]

  return jax.lax.map(jax.checkpoint(at), jnp.arange(size**2))


def filter_locally(kernel: jax.Array, x: jax.Array) -> jax.Array:
  """Sums x [H, W, K] over windows, weighted by a kernel [S * S, H, W]."""
  size = math.isqrt(len(kernel))

  @jax.checkpoint
  def add(total, part):
    index, weight = part
    return total + weight[..., None] * _shift(x, index, size), None

  parts = jnp.arange(size**2), kernel
  return jax.lax.scan(add, jnp.zeros_like(x), parts)[0]


def message(
    kernels: Sequence[tuple[float | jax.Array, jax.Array]],
    window: int,
    blur: int = 1,
    normalization: str = 'none',
) -> Callable[[jax.Array], jax.Array]:
  """Returns the message function of a sum of Gaussian kernels.

  Args:
    kernels: [(weight, features [H, W, F]), ...], see `features`.
    window: side of the window, odd, in cells.
    blur: side of a cell in pixels. Features and messages are computed on means
      over cells.
    normalization: 'none', or 'symmetric': D^-1/2 K D^-1/2 for each kernel K,
      with its row sums D.

  Returns:
    A function from (log-)probabilities [H, W, K] to messages [H, W, K], for
    `mean_field`.
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
  # Without normalisation the kernels add up, so one pass is enough.
  if normalization == 'none':
    weighted = [(sum(kernel for kernel, _ in weighted), 1.0)]

  def apply(x):
    x = shrink(x, blur)
    total = sum(
        scale * filter_locally(kernel, scale * x) for kernel, scale in weighted
    )
    return enlarge(total, blur, size)

  return apply


def mixed(
    message: Callable[[jax.Array], jax.Array], matrix: jax.Array
) -> Callable[[jax.Array], jax.Array]:
  """Adds to a message its product with a compatibility matrix [K, K]."""

  def apply(x):
    y = message(x)
    return y + jnp.dot(y, matrix, precision=jax.lax.Precision.HIGHEST)

  return apply


def check_window(window: int, blur: int) -> None:
  """Raises ValueError unless the window is odd and cells have a side."""
  if window < 1 or window % 2 == 0:
    raise ValueError(f'window={window} must be an odd number.')
  if blur < 1:
    raise ValueError(f'blur={blur} must be at least 1.')


def features(
    image: jax.Array,
    position_scale: float,
    color_scale: float,
    color_position_scale: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
  """Returns the features of the spatial and of the bilateral kernel.

  Args:
    image: [H, W, 3], colours of 0 to 255.
    position_scale: 1 / width of the spatial kernel, in pixels.
    color_scale: 1 / width of the bilateral kernel, in units of colour.
    color_position_scale: 1 / width of the bilateral kernel, in pixels. With 0,
      the default of the authors' code, it depends on colours alone.

  Returns:
    [H, W, 2] and [H, W, 5].
  """
  h, w, _ = image.shape
  position = jnp.stack(jnp.mgrid[:h, :w], -1).astype(jnp.float32)
  color = image.astype(jnp.float32) * color_scale
  both = jnp.concatenate([position * color_position_scale, color], -1)
  return position * position_scale, both


def shrink(x: jax.Array, blur: int) -> jax.Array:
  """Averages [H, W, C] over cells of `blur` x `blur` pixels.

  The grid of cells is centred on the image. Cells at the border average the
  pixels that lie in the image.
  """
  h, w, _ = x.shape
  top, left = _border(h, blur), _border(w, blur)
  rows, columns = -(-h // blur), -(-w // blur)
  borders = (top, rows * blur - h - top), (left, columns * blur - w - left)

  def sums(y):
    y = jnp.pad(y, (*borders, (0, 0)))
    return y.reshape(rows, blur, columns, blur, -1).sum((1, 3))

  return sums(x) / sums(jnp.ones((h, w, 1), x.dtype))


def enlarge(x: jax.Array, blur: int, size: tuple[int, int]) -> jax.Array:
  """Interpolates the cells of `shrink` back to pixels, (height, width)."""
  (h, w), (rows, columns, _) = size, x.shape
  y = resize(x[None], (rows * blur, columns * blur))[0]
  top, left = _border(h, blur), _border(w, blur)
  return y[top : top + h, left : left + w]


def mean_field(
    unary: jax.Array,
    message: Callable[[jax.Array], jax.Array],
    iterations: int,
    *,
    weight: float | jax.Array,
    unary_weight: float = 1.0,
) -> jax.Array:
  """Runs mean-field inference and returns its logits, [H, W, K].

  Args:
    unary: [H, W, K] logits.
    message: function from (log-)probabilities [H, W, K] to messages [H, W, K].
    iterations: number of updates; 0 returns log-probabilities.
    weight: factor of the messages, a scalar or [K].
    unary_weight: sum of the factors of `unary` and of the messages.
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
  """Returns the neighbour at one position of the window, 0 outside the image.

  Args:
    x: [H, W, C].
    index: position in the window, row by row.
    size: side of the window.
  """
  h, w, c = x.shape
  reach = size // 2
  padded = jnp.pad(x, ((reach, reach), (reach, reach), (0, 0)))
  start = index // size, index % size, 0
  return jax.lax.dynamic_slice(padded, start, (h, w, c))


def _border(side, blur):
  """Returns the padding before an axis that makes its cells complete."""
  return -(-(-side % blur) // 2)
