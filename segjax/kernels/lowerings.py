"""Ways to convolve and to compute the gradients.

Each is a function of (x, kernel, window); that of the gradient to the input is
of (dy, kernel, window, shape of x), and that of the gradient to the kernel of
(x, dy, window, shape of the kernel). All ways return the same numbers, and
`ops.conv` chooses.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

import jax
from jax import lax
import jax.numpy as jnp

from segjax.kernels import window as windows
from segjax.kernels.window import Window

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def transposed(forward):
  """Returns the gradient to the input of a way to convolve."""

  def gradient(dy, kernel, window, shape):
    like = jax.ShapeDtypeStruct(shape, dy.dtype)
    return jax.linear_transpose(lambda x: forward(x, kernel, window), like)(dy)[
        0
    ]

  return gradient


def plain(x, kernel, window):
  """XLA's own."""
  return lax.conv_general_dilated(
      x,
      kernel,
      window.strides,
      window.padding,
      rhs_dilation=window.dilation,
      dimension_numbers=LAYOUT,
      feature_group_count=window.groups,
  )


def plain_gradient(x, dy, window, shape):
  """XLA's own."""
  kernel = jax.ShapeDtypeStruct(shape, x.dtype)
  return jax.linear_transpose(lambda k: plain(x, k, window), kernel)(dy)[0]


def matrix(x, kernel, window):
  """What windows see is a matrix, a row for each."""
  patches = _patches(x, kernel.shape, window)
  y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(
      -1, kernel.shape[-1]
  )
  return y.reshape(*patches.shape[:3], -1)


def matrix_gradient(x, dy, window, shape):
  """The same patches, transposed, times the gradient."""
  patches = _patches(x, shape, window)
  return contract(patches, dy).astype(x.dtype).reshape(shape)


def _patches(x, shape, window):
  """Returns what each window sees, [B, h, w, rows * columns * C]."""
  rows, columns = shape[:2]
  x = windows.pad(x, window)
  if rows == columns == 1:
    return x[:, :: window.strides[0], :: window.strides[1]]
  if (rows, columns) == window.strides and window.dilation == (1, 1):
    batch, channels = len(x), x.shape[-1]
    height, width = (
        n // s for n, s in zip(x.shape[1:3], window.strides, strict=True)
    )
    x = x[:, : height * rows, : width * columns]
    x = x.reshape(batch, height, rows, width, columns, channels)
    return x.swapaxes(2, 3).reshape(batch, height, width, -1)
  # Columns, then rows, side by side.
  for taps, along in (
      (
          (1, columns),
          Window((1, window.strides[1]), dilation=(1, window.dilation[1])),
      ),
      (
          (rows, 1),
          Window((window.strides[0], 1), dilation=(window.dilation[0], 1)),
      ),
  ):
    seen = [pixels for *_, pixels in windows.strided(x, taps, along)]
    x = lax.optimization_barrier(jnp.concatenate(seen, -1))
  return x


def shifted(x, kernel, window):
  """A product for each tap, with the pixels alone that it sees."""
  size = window.size(x.shape, kernel.shape)
  accurate = jnp.promote_types(x.dtype, jnp.float32)
  total = jnp.zeros((len(x), *size, kernel.shape[-1]), accurate)
  for i, j, inputs, _, edges in window.taps(x.shape, kernel.shape):
    y = jnp.einsum(
        'bhwc,co->bhwo',
        x[inputs],
        kernel[i, j],
        preferred_element_type=accurate,
    )
    total += jnp.pad(y, edges)
  return total.astype(x.dtype)


def shifted_gradient(x, dy, window, shape):
  """A product for each tap that sees any pixel."""
  parts = {
      (i, j): contract(x[inputs], dy[outputs])
      for i, j, inputs, outputs, _ in window.taps(x.shape, shape)
  }
  unseen = jnp.zeros(shape[2:], jnp.promote_types(x.dtype, jnp.float32))
  rows = [
      jnp.stack([parts.get((i, j), unseen) for j in range(shape[1])])
      for i in range(shape[0])
  ]
  return jnp.stack(rows).astype(x.dtype)


def depthwise(x, kernel, window):
  """Sums shifted images times a number for each channel: a single loop."""
  # Else every tap would compute again what is padded.
  x = lax.optimization_barrier(windows.pad(x, window))
  taps = [
      accurate(part) * accurate(kernel[i, j, 0])
      for i, j, part in windows.strided(x, kernel.shape, window)
  ]
  return sum(taps).astype(x.dtype)


def depthwise_gradient(x, dy, window, shape):
  """Sums products of shifted images, of all taps while a row is in cache."""
  x = lax.optimization_barrier(windows.pad(x, window))
  reach = window.dilation[0] * (shape[0] - 1) + 1

  def add_row(i, sums):
    rows = lax.dynamic_slice_in_dim(x, i * window.strides[0], reach, 1)
    row = accurate(lax.dynamic_slice_in_dim(dy, i, 1, 1))
    products = [
        accurate(part) * row
        for *_, part in windows.strided(rows, shape, window)
    ]
    more = lax.reduce(
        products,
        [jnp.zeros((), row.dtype)] * len(products),
        lambda a, b: [p + q for p, q in zip(a, b, strict=True)],
        (0, 1, 2),
    )
    return sums + jnp.stack(more)

  sums = jnp.zeros(
      (shape[0] * shape[1], shape[-1]), jnp.promote_types(x.dtype, jnp.float32)
  )
  sums = lax.fori_loop(0, dy.shape[1], add_row, sums)
  return sums.astype(x.dtype).reshape(shape)


def paired(x, kernel, window):
  """Two columns at once, by a kernel of one more and twice the features."""
  height, width = window.size(x.shape, kernel.shape)
  twice = jnp.concatenate([_beside(kernel, 0, 1), _beside(kernel, 1, 0)], -1)
  (top, bottom), (left, right) = window.padding
  # XLA leaves windows to YNNPACK, which computes few channels on one thread,
  # unless the padding of two sides differs: then Eigen does, on all.
  more = Window((1, 2), ((top, bottom + 1), (left, right + width % 2)))
  y = plain(x, twice, more)[:, :height]
  return y.reshape(len(x), height, -1, kernel.shape[-1])[:, :, :width]


def paired_gradient(dy, kernel, window, shape):
  """The same way, by the kernel turned around."""
  del shape
  turned = kernel[::-1, ::-1].swapaxes(2, 3)
  return paired(dy, turned, window.turned(kernel.shape))


def _beside(kernel, left, right):
  """Returns a kernel with columns of zeros at its sides."""
  return jnp.pad(kernel, ((0, 0), (left, right), (0, 0), (0, 0)))


def batched_gradient(x, dy, window, shape):
  """Splits images, and taps lie side by side."""
  rest = [-n % d for n, d in zip(dy.shape[1:3], window.dilation, strict=True)]
  more = [(a, b + r) for (a, b), r in zip(window.padding, rest, strict=True)]
  return plain_gradient(
      windows.split(x, window.dilation, more),
      windows.split(dy, window.dilation, [(0, r) for r in rest]),
      Window(),
      shape,
  )


def accurate(x):
  """Returns `x` in a type in which sums over taps are not rounded away."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def contract(x, dy):
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
