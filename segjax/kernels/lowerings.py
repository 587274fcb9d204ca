"""Algorithms for a convolution and for its two gradients.

A forward function takes (x, kernel, window). The gradient with respect to the
input takes (dy, kernel, window, shape of x), and the gradient with respect to
the kernel takes (x, dy, window, shape of the kernel). All algorithms return the
same numbers up to rounding; `ops.conv` chooses the fastest.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

import jax
from jax import lax
import jax.numpy as jnp

from segjax.kernels import window as windows
from segjax.kernels.window import Window

LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def transposed(forward):
  """Derives the gradient with respect to the input from a forward function."""

  def gradient(dy, kernel, window, shape):
    x = jax.ShapeDtypeStruct(shape, dy.dtype)
    (dx,) = jax.linear_transpose(lambda x: forward(x, kernel, window), x)(dy)
    return dx

  return gradient


def plain(x, kernel, window):
  """Convolves by XLA's own convolution."""
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
  """Returns the gradient to the kernel as XLA derives it from `plain`."""
  kernel = jax.ShapeDtypeStruct(shape, x.dtype)
  return jax.linear_transpose(lambda k: plain(x, k, window), kernel)(dy)[0]


def matrix(x, kernel, window):
  """Convolves by one matrix product, with a row of patches per output pixel."""
  patches = _patches(x, kernel.shape, window)
  y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(
      -1, kernel.shape[-1]
  )
  return y.reshape(*patches.shape[:3], -1)


def matrix_gradient(x, dy, window, shape):
  """Returns the gradient to the kernel: transposed patches times `dy`."""
  patches = _patches(x, shape, window)
  return contract(patches, dy).astype(x.dtype).reshape(shape)


def _patches(x, shape, window):
  """Returns the input of each output pixel, [B, h, w, rows * columns * C]."""
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
  # The taps of a row are put side by side first, then the rows. Each pass has
  # only as many slices as the kernel has taps along that axis.
  for taps, axis_window in (
      (
          (1, columns),
          Window((1, window.strides[1]), dilation=(1, window.dilation[1])),
      ),
      (
          (rows, 1),
          Window((window.strides[0], 1), dilation=(window.dilation[0], 1)),
      ),
  ):
    slices = [pixels for *_, pixels in windows.strided(x, taps, axis_window)]
    x = lax.optimization_barrier(jnp.concatenate(slices, -1))
  return x


def shifted(x, kernel, window):
  """Convolves by a product for each tap, over the pixels that the tap reads.

  Taps that read padding alone cost nothing, which pays at high dilation rates.
  """
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
  """Returns the gradient to the kernel, by a product for each tap."""
  parts = {
      (i, j): contract(x[inputs], dy[outputs])
      for i, j, inputs, outputs, _ in window.taps(x.shape, shape)
  }
  zero = jnp.zeros(shape[2:], jnp.promote_types(x.dtype, jnp.float32))
  rows = [
      jnp.stack([parts.get((i, j), zero) for j in range(shape[1])])
      for i in range(shape[0])
  ]
  return jnp.stack(rows).astype(x.dtype)


def depthwise(x, kernel, window):
  """Convolves each channel by itself: sums shifted and scaled images."""
  # Without the barrier XLA would compute the padded image once for each tap.
  x = lax.optimization_barrier(windows.pad(x, window))
  taps = [
      accurate(part) * accurate(kernel[i, j, 0])
      for i, j, part in windows.strided(x, kernel.shape, window)
  ]
  return sum(taps).astype(x.dtype)


def depthwise_gradient(x, dy, window, shape):
  """Returns the gradient to the kernel of `depthwise`.

  It goes row by row and computes all taps while the row is in the cache.
  """
  x = lax.optimization_barrier(windows.pad(x, window))
  reach = window.dilation[0] * (shape[0] - 1) + 1

  def add_row(i, sums):
    rows = lax.dynamic_slice_in_dim(x, i * window.strides[0], reach, 1)
    row = accurate(lax.dynamic_slice_in_dim(dy, i, 1, 1))
    products = [
        accurate(part) * row
        for *_, part in windows.strided(rows, shape, window)
    ]
    row_sums = lax.reduce(
        products,
        [jnp.zeros((), row.dtype)] * len(products),
        lambda a, b: [p + q for p, q in zip(a, b, strict=True)],
        (0, 1, 2),
    )
    return sums + jnp.stack(row_sums)

  sums = jnp.zeros(
      (shape[0] * shape[1], shape[-1]), jnp.promote_types(x.dtype, jnp.float32)
  )
  sums = lax.fori_loop(0, dy.shape[1], add_row, sums)
  return sums.astype(x.dtype).reshape(shape)


def paired(x, kernel, window):
  """Computes two output columns at once.

  The kernel is one column wider and has twice the features: a copy for the left
  column of a pair, and one for the right column. That is faster for kernels
  of few features, see launch/speed.md.
  """
  height, width = window.size(x.shape, kernel.shape)
  twice = jnp.concatenate([_beside(kernel, 0, 1), _beside(kernel, 1, 0)], -1)
  (top, bottom), (left, right) = window.padding
  # XLA for CPUs gives convolutions to YNNPACK, which uses one thread for few
  # channels. With one more row of padding below than above, it takes Eigen,
  # which uses all threads.
  padded = Window((1, 2), ((top, bottom + 1), (left, right + width % 2)))
  y = plain(x, twice, padded)[:, :height]
  return y.reshape(len(x), height, -1, kernel.shape[-1])[:, :, :width]


def paired_gradient(dy, kernel, window, shape):
  """Returns the gradient to the input: `paired` by the rotated kernel."""
  del shape
  turned = kernel[::-1, ::-1].swapaxes(2, 3)
  return paired(dy, turned, window.turned(kernel.shape))


def _beside(kernel, left, right):
  """Returns a kernel with columns of zeros added at its left and right."""
  return jnp.pad(kernel, ((0, 0), (left, right), (0, 0), (0, 0)))


def batched_gradient(x, dy, window, shape):
  """Returns the gradient to a dilated kernel as that of a dense kernel.

  Images are split into grids of pixels that are `dilation` apart. Within a grid
  the taps are neighbours, so XLA's fast path for dense kernels applies.
  """
  rest = [-n % d for n, d in zip(dy.shape[1:3], window.dilation, strict=True)]
  padding = [(a, b + r) for (a, b), r in zip(window.padding, rest, strict=True)]
  return plain_gradient(
      windows.split(x, window.dilation, padding),
      windows.split(dy, window.dilation, [(0, r) for r in rest]),
      Window(),
      shape,
  )


def accurate(x):
  """Casts to float32, or keeps a wider type, so that sums stay accurate."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def contract(x, dy):
  """Sums x * dy over pixels, [..., C] and [..., features] to [C, features].

  XLA's product for CPUs is slow if the result has more rows than columns, see
  launch/speed.md, so the transpose is computed then.
  """
  x, dy = (y.reshape(-1, y.shape[-1]) for y in (x, dy))
  tall = x.shape[-1] >= dy.shape[-1]
  y = lax.dot_general(
      *((dy, x) if tall else (x, dy)),
      (((0,), (0,)), ((), ())),
      preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
  )
  # Without the barrier XLA would move the transpose to the operands.
  return lax.optimization_barrier(y).T if tall else y
