"""One convolution, lowered by platform.

On GPU and TPU it is XLA's own, which calls the vendor's kernels. XLA's for CPUs
is good at 3x3 windows that lie close, and poor at much else, so there a table
chooses by the shape among four ways to compute the same numbers, see
`lowering`. The choice is made when a step is traced, and nobody has to know.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

import contextlib
import dataclasses
import functools
import math

import jax
from jax import lax
import jax.numpy as jnp

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


@dataclasses.dataclass(frozen=True)
class Window:
  """How a kernel moves over an image."""

  strides: tuple[int, int] = (1, 1)
  padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
  dilation: tuple[int, int] = (1, 1)
  groups: int = 1

  def size(self, shape, kernel):
    """Returns (height, width) of the result, for two shapes."""
    return tuple(
        (n + sum(pad) - d * (k - 1) - 1) // s + 1
        for n, pad, d, k, s in zip(
            shape[1:3],
            self.padding,
            self.dilation,
            kernel[:2],
            self.strides,
            strict=True,
        )
    )


def conv_general_dilated(
    x,
    kernel,
    window_strides,
    padding,
    *,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    precision,
):
  """Convolves as `lax.conv_general_dilated` does; Flax's layers call it.

  Raises:
    ValueError: it was asked for something that no system here needs.
  """
  layout = lax.conv_dimension_numbers(x.shape, kernel.shape, LAYOUT)
  given = tuple(lhs_dilation), dimension_numbers, precision
  if given != ((1, 1), layout, None):
    raise ValueError(
        f'Convolutions here are {LAYOUT}, with an input that is not dilated and'
        f' the default precision; given are {given}. There is'
        ' lax.conv_general_dilated.'
    )
  if isinstance(padding, str):
    reach = [
        d * (k - 1) + 1
        for d, k in zip(rhs_dilation, kernel.shape[:2], strict=True)
    ]
    padding = lax.padtype_to_pads(x.shape[1:3], reach, window_strides, padding)
  window = Window(
      tuple(window_strides),
      tuple(tuple(pad) for pad in padding),
      tuple(rhs_dilation),
      feature_group_count,
  )
  return conv(x, kernel, window)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x, kernel, window):
  """Convolves.

  Args:
    x: [B, H, W, C], any float type.
    kernel: [rows, columns, C / groups, features] in the same type.
    window: a `Window`.

  Returns:
    [B, *window.size(x.shape, kernel.shape), features].
  """
  return lax.platform_dependent(
      x,
      kernel,
      cpu=_on_cpu(FORWARD, x.shape, kernel.shape, window),
      default=functools.partial(_plain, window=window),
  )


def _saved(x, kernel, window):
  return conv(x, kernel, window), (x, kernel)


def _gradients(window, saved, dy):
  x, kernel = saved
  return (
      _input_gradient(dy, kernel, window, x.shape),
      _kernel_gradient(x, dy, window, kernel.shape),
  )


conv.defvjp(_saved, _gradients)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def transpose(x, kernel, window, size):
  """Convolves transposed: the gradient of a `conv` to its input.

  Args:
    x: [B, h, w, features], what the `conv` would return.
    kernel: [rows, columns, C / groups, features], of the `conv`.
    window: a `Window`, of the `conv`.
    size: (height, width) of what the `conv` would take.

  Returns:
    [B, *size, C].
  """
  channels = kernel.shape[2] * window.groups
  return _input_gradient(x, kernel, window, (len(x), *size, channels))


def _saved_transposed(x, kernel, window, size):
  return transpose(x, kernel, window, size), (x, kernel)


def _gradients_transposed(window, size, saved, dy):
  del size
  x, kernel = saved
  return conv(dy, kernel, window), _kernel_gradient(dy, x, window, kernel.shape)


transpose.defvjp(_saved_transposed, _gradients_transposed)


def _input_gradient(dy, kernel, window, shape):
  """Returns the gradient to an input of a shape, [B, H, W, C]."""

  def gradient(forward):
    def apply(dy, kernel):
      like = jax.ShapeDtypeStruct(shape, dy.dtype)
      return jax.linear_transpose(lambda x: forward(x, kernel), like)(dy)[0]

    return apply

  return lax.platform_dependent(
      dy,
      kernel,
      cpu=gradient(_on_cpu(FORWARD, shape, kernel.shape, window)),
      default=gradient(functools.partial(_plain, window=window)),
  )


def _kernel_gradient(x, dy, window, shape):
  """Returns the gradient to a kernel of a shape."""
  options = dict(window=window, shape=shape)
  gpu = KERNEL_GRADIENT[
      'plain' if _PLAIN_ONLY else gpu_lowering(x.shape, **options)
  ]
  return lax.platform_dependent(
      x,
      dy,
      cpu=_on_cpu(KERNEL_GRADIENT, x.shape, shape, window),
      cuda=functools.partial(gpu, **options),
      default=functools.partial(_plain_gradient, **options),
  )


def gpu_lowering(x_shape, window, shape):
  """Returns how an NVIDIA GPU computes the gradient to a kernel.

  XLA makes of that of a dilated kernel a convolution by a kernel as large as
  the image, for which cuDNN has nothing fast. Milliseconds on an H200, 16
  images, 65x65, bfloat16, jaxlib 0.11.2:

  | what                      | XLA  | batched | shifted |
  |---------------------------|------|---------|---------|
  | 3x3, 512 -> 512, rate 4   | 3.00 | 0.65    | 0.93    |
  | 3x3, 2048 -> 256, rate 12 | 4.73 | 1.36    | 1.63    |
  | 3x3, 2048 -> 256, rate 36 | 4.69 | 2.16    | 1.05    |
  """
  if window.groups > 1 or window.dilation == (1, 1):
    return 'plain'
  if _inside(x_shape, shape, window) < 0.75:
    return 'shifted'
  return 'batched' if window.strides == (1, 1) else 'plain'


def lowering(shape, kernel, window):
  """Returns how a CPU convolves an input of a shape by a kernel of a shape.

  In billions of operations a second, forward / gradient to the input / to the
  kernel, on an AMD EPYC of 2022, float32, jaxlib 0.10.2. On one core, where
  matrix products reach 112:

  | what                                | XLA            | instead         |
  |-------------------------------------|----------------|-----------------|
  | 1x1, 256 -> 1024 at 33x33           | 95 / 89 / 42   | 100 / 109 / 101 |
  | 1x1, 2048 -> 512 at 33x33           | 91 / 92 / 34   | 109 / 107 / 94  |
  | depthwise 3x3, 144 at 129x129       | .7 / .7 / .5   | 24 / 27 / 4.5   |
  | 3x3, 2048 -> 256, rate 12 at 33x33  | 93 / 86 / 60   | 125 / 123 / 153 |
  | 3x3, 2048 -> 256, rate 36 at 33x33  | 32 / 79 / 30   | 968 / 950 / 848 |

  More than products reach is work that reads padding alone, and is not done.
  Winograd's way, on two cores, where products reach 214:

  | what                             | XLA             | instead         |
  |----------------------------------|-----------------|-----------------|
  | 3x3, 256 -> 512 at 2 x 64x64     | 207 / 204 / 97  | 333 / 319 / 332 |
  | 3x3, 512 -> 512 at 2 x 33x33     | 199 / 183 / 175 | 216 / 204 / 226 |
  | 3x3, 128 -> 128 at 65x65         | 203 / 199 / 112 | 216 / 131 / 189 |
  | 3x3, 512 -> 512 at 33x33         | 186             | 130             |

  The last is left to XLA.
  """
  rows, columns, channels, features = kernel
  padded = any(map(any, window.padding))
  apart = rows == columns == 1 or (rows, columns) == window.strides
  if window.groups == 1 and apart and not padded:
    return 'matrix'
  if window.groups > 1 and channels == 1 and features == window.groups:
    return 'depthwise' if rows * columns <= 49 else 'plain'
  if window.groups > 1:
    return 'plain'
  dilated = window.dilation != (1, 1)
  if dilated and _inside(shape, kernel, window) < 0.75:
    return 'shifted'
  pixels = shape[0] * math.prod(window.size(shape, kernel))
  if (
      (rows, columns, *window.strides) == (3, 3, 1, 1)
      and min(channels, features) >= 128
      and pixels >= 2000
  ):
    return 'winograd'
  return 'plain'


_PLAIN_ONLY = False


@contextlib.contextmanager
def plain():
  """Within it, what is traced convolves by XLA's own on CPUs, too."""
  global _PLAIN_ONLY
  before, _PLAIN_ONLY = _PLAIN_ONLY, True
  try:
    yield
  finally:
    _PLAIN_ONLY = before


def _on_cpu(table, shape, kernel, window):
  """Returns the function of a table that computes on CPUs."""
  name = 'plain' if _PLAIN_ONLY else lowering(shape, kernel, window)
  options = dict(shape=kernel) if table is KERNEL_GRADIENT else {}
  return functools.partial(table[name], window=window, **options)


def _plain(x, kernel, window):
  return lax.conv_general_dilated(
      x,
      kernel,
      window.strides,
      window.padding,
      rhs_dilation=window.dilation,
      dimension_numbers=LAYOUT,
      feature_group_count=window.groups,
  )


def _plain_gradient(x, dy, window, shape):
  kernel = jax.ShapeDtypeStruct(shape, x.dtype)
  return jax.linear_transpose(lambda k: _plain(x, k, window), kernel)(dy)[0]


def _matrix(x, kernel, window):
  """Windows that do not overlap are the rows of a matrix."""
  patches = _patches(x, kernel.shape, window)
  y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(
      -1, kernel.shape[-1]
  )
  return y.reshape(*patches.shape[:3], -1)


def _matrix_gradient(x, dy, window, shape):
  patches = _patches(x, shape, window)
  return _contract(patches, dy).astype(x.dtype).reshape(shape)


def _patches(x, shape, window):
  """Returns what each window sees, [B, h, w, rows * columns * C]."""
  rows, columns = shape[:2]
  if rows == columns == 1:
    return x[:, :: window.strides[0], :: window.strides[1]]
  batch, channels = len(x), x.shape[-1]
  height, width = window.size(x.shape, shape)
  x = x[:, : height * rows, : width * columns]
  x = x.reshape(batch, height, rows, width, columns, channels)
  return x.swapaxes(2, 3).reshape(batch, height, width, -1)


def _shifted(x, kernel, window):
  """A product for each tap, with the pixels alone that it sees."""
  size = window.size(x.shape, kernel.shape)
  accurate = jnp.promote_types(x.dtype, jnp.float32)
  total = jnp.zeros((len(x), *size, kernel.shape[-1]), accurate)
  for i, j, inputs, _, edges in _taps(x.shape, kernel.shape, window):
    y = jnp.einsum(
        'bhwc,co->bhwo',
        x[inputs],
        kernel[i, j],
        preferred_element_type=accurate,
    )
    total += jnp.pad(y, edges)
  return total.astype(x.dtype)


def _shifted_gradient(x, dy, window, shape):
  parts = {
      (i, j): _contract(x[inputs], dy[outputs])
      for i, j, inputs, outputs, _ in _taps(x.shape, shape, window)
  }
  unseen = jnp.zeros(shape[2:], jnp.promote_types(x.dtype, jnp.float32))
  rows = [
      jnp.stack([parts.get((i, j), unseen) for j in range(shape[1])])
      for i in range(shape[0])
  ]
  return jnp.stack(rows).astype(x.dtype)


def _depthwise(x, kernel, window):
  """Sums shifted images times a number for each channel: a single loop."""
  # Else every tap would compute again what is padded.
  x = lax.optimization_barrier(_pad(x, window))
  taps = [
      _accurate(part) * _accurate(kernel[i, j, 0])
      for i, j, part in _strided(x, kernel.shape, window)
  ]
  return sum(taps).astype(x.dtype)


def _depthwise_gradient(x, dy, window, shape):
  x = lax.optimization_barrier(_pad(x, window))
  products = [
      _accurate(part) * _accurate(dy)
      for _, _, part in _strided(x, shape, window)
  ]
  # All sums in one pass over the images.
  sums = lax.reduce(
      products,
      [jnp.zeros((), products[0].dtype)] * len(products),
      lambda a, b: [p + q for p, q in zip(a, b, strict=True)],
      (0, 1, 2),
  )
  return jnp.stack(sums).astype(x.dtype).reshape(shape)


def _winograd(x, kernel, window):
  """Computes 2x2 pixels of 4x4 by 16 products instead of 36.

  Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4.1, F(2x2, 3x3).
  """
  size = window.size(x.shape, kernel.shape)
  products = [
      jnp.einsum('bhwc,co->bhwo', pixels, taps)
      for pixels, taps in zip(
          _differences(x, size, window), _tap_sums(kernel), strict=True
      )
  ]
  return _product_sums(products, size, window).astype(x.dtype)


def _winograd_gradient(x, dy, window, shape):
  """The same way backward: 16 contractions instead of 36."""
  size = dy.shape[1:3]
  pixels = _differences(x, size, window)
  like = jax.ShapeDtypeStruct(
      (*pixels[0].shape[:3], shape[-1]), pixels[0].dtype
  )
  (products,) = jax.linear_transpose(
      lambda products: _product_sums(products, size, window), [like] * 16
  )(_accurate(dy))
  taps = [_contract(*pair) for pair in zip(pixels, products, strict=True)]
  kernel = jax.ShapeDtypeStruct(shape, like.dtype)
  return jax.linear_transpose(_tap_sums, kernel)(taps)[0].astype(x.dtype)


def _differences(x, size, window):
  """Returns what 16 products take of an image, [b, h, w, C] each."""
  edges = [
      (a, 2 * d * (-(-n // (2 * d)) + 1) - old - a)
      for (a, _), n, d, old in zip(
          window.padding, size, window.dilation, x.shape[1:3], strict=True
      )
  ]
  x = _split(_accurate(x), window.dilation, edges)

  def along(x, axis):
    end = x.shape[axis] - 3
    a, b, c, d = (lax.slice_in_dim(x, i, end + i, 2, axis) for i in range(4))
    return a - c, b + c, c - b, b - d

  return [pixels for row in along(x, 1) for pixels in along(row, 2)]


def _tap_sums(kernel):
  """Returns what 16 products take of a kernel, [C, features] each."""
  sums = jnp.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
  taps = jnp.einsum(
      'pi,qj,ijco->pqco',
      *(sums, sums, _accurate(kernel)),
      precision=lax.Precision.HIGHEST,
  )
  return list(taps.reshape(16, *kernel.shape[2:]))


def _product_sums(products, size, window):
  """Returns the image that 16 products make, [B, *size, features]."""

  def sums(products):
    a, b, c, d = products
    return a + b + c, b - c - d

  rows = [sums(products[i : i + 4]) for i in range(0, 16, 4)]
  pixels = [sums(column) for column in zip(*rows, strict=True)]
  y = jnp.stack([jnp.stack(column, 2) for column in pixels], 4)
  batch, height, _, width, _, features = y.shape
  y = _join(y.reshape(batch, 2 * height, 2 * width, features), window.dilation)
  return y[:, : size[0], : size[1]]


def _batched_gradient(x, dy, window, shape):
  """Splits images, and taps lie side by side."""
  rest = [-n % d for n, d in zip(dy.shape[1:3], window.dilation, strict=True)]
  more = [(a, b + r) for (a, b), r in zip(window.padding, rest, strict=True)]
  return _plain_gradient(
      _split(x, window.dilation, more),
      _split(dy, window.dilation, [(0, r) for r in rest]),
      Window(),
      shape,
  )


def _split(x, dilation, edges):
  """Pads, and makes images of pixels that lie as far apart as taps."""
  x = jnp.pad(x, ((0, 0), *edges, (0, 0)))
  batch, height, width, channels = x.shape
  rows, columns = dilation
  size = height // rows, width // columns
  x = x.reshape(batch, size[0], rows, size[1], columns, channels)
  return x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, *size, channels)


def _join(x, dilation):
  """Takes back what `_split` did, but for the padding."""
  rows, columns = dilation
  _, height, width, channels = x.shape
  x = x.reshape(-1, rows, columns, height, width, channels)
  x = x.transpose(0, 3, 1, 4, 2, 5)
  return x.reshape(len(x), height * rows, width * columns, channels)


def _accurate(x):
  """Returns `x` in a type in which sums over taps are not rounded away."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _contract(x, dy):
  """Sums x * dy over pixels, [..., C] and [..., features] to [C, features].

  XLA's product is slow if its result has more rows than columns, so then the
  transpose is computed. At 33x33, in the units above: 256 -> 1024 101 so and 66
  transposed, 1024 -> 256 63 and 95, 256 -> 21 25 and 93.
  """
  x, dy = (y.reshape(-1, y.shape[-1]) for y in (x, dy))
  tall = x.shape[-1] >= dy.shape[-1]
  y = lax.dot_general(
      *((dy, x) if tall else (x, dy)),
      (((0,), (0,)), ((), ())),
      preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
  )
  # Else XLA would move the transpose to the operands.
  return lax.optimization_barrier(y).T if tall else y


def _pad(x, window):
  return jnp.pad(x, ((0, 0), *window.padding, (0, 0)))


def _strided(x, shape, window):
  """Yields (i, j, what the tap sees) of a padded image."""
  unpadded = dataclasses.replace(window, padding=((0, 0), (0, 0)))
  size = unpadded.size(x.shape, shape)
  for i in range(shape[0]):
    for j in range(shape[1]):
      slices = (
          slice(k * d, k * d + (n - 1) * s + 1, s)
          for k, d, n, s in zip(
              (i, j), window.dilation, size, window.strides, strict=True
          )
      )
      yield i, j, x[:, *slices]


def _taps(shape, kernel, window):
  """Yields the taps of a kernel that see pixels, and which.

  Args:
    shape: of the image.
    kernel: shape of the kernel.
    window: how it moves.

  Yields:
    Row and column of the tap, indices of the pixels that it sees, indices of
    those of the result to which they contribute, and the padding that places
    these in the result.
  """
  size = window.size(shape, kernel)
  axes = [
      [_reach(n, out, k * d - pad[0], s) for k in range(taps)]
      for n, out, taps, d, pad, s in zip(
          shape[1:3],
          size,
          kernel[:2],
          window.dilation,
          window.padding,
          window.strides,
          strict=True,
      )
  ]
  everything = slice(None)
  for i, rows in enumerate(axes[0]):
    for j, columns in enumerate(axes[1]):
      if rows and columns:
        pairs = rows, columns
        inputs = (everything, *(seen for seen, _ in pairs))
        outputs = (everything, *(slice(a, b) for _, (a, b) in pairs))
        edges = [(a, n - b) for (_, (a, b)), n in zip(pairs, size, strict=True)]
        yield i, j, inputs, outputs, ((0, 0), *edges, (0, 0))


def _reach(old, new, offset, stride):
  """Returns what a tap sees along an axis, and to what it contributes.

  Pixel i of the `new` is of i * stride + offset of the `old`. None, if those
  are outside.
  """
  start = max(0, -(offset // stride))
  end = min(new, (old - 1 - offset) // stride + 1)
  if end <= start:
    return None
  first, last = (i * stride + offset for i in (start, end - 1))
  return slice(first, last + 1, stride), (start, end)


def _inside(shape, kernel, window):
  """Returns the part of a kernel's work that does not read padding."""
  size = window.size(shape, kernel)
  seen = sum(
      math.prod(part.stop - part.start for part in outputs[1:])
      for *_, outputs, _ in _taps(shape, kernel, window)
  )
  return seen / math.prod((*size, *kernel[:2]))


FORWARD = dict(
    plain=_plain,
    matrix=_matrix,
    shifted=_shifted,
    depthwise=_depthwise,
    winograd=_winograd,
)
KERNEL_GRADIENT = dict(
    plain=_plain_gradient,
    matrix=_matrix_gradient,
    shifted=_shifted_gradient,
    depthwise=_depthwise_gradient,
    winograd=_winograd_gradient,
    batched=_batched_gradient,
)
