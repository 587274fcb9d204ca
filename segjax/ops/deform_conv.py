"""Deformable convolution: every tap of a kernel reads where an offset says."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.kernels.window import Window
from segjax.ops.points import sample_positions


def deform_conv(
    x: jax.Array,
    offset: jax.Array,
    kernel: jax.Array,
    window: Window,
    *,
    mask: jax.Array | None = None,
) -> jax.Array:
  """Convolves an image by a kernel whose taps are moved by offsets.

  What a tap reads between pixels is interpolated bilinearly; pixels outside of
  the image count as 0. The authors' first code, for MXNet, differs there: a
  position above or left of the first pixel is 0 altogether, and one within a
  pixel behind the last one repeats it.

  The channels of an image form one or more groups with offsets of their own, as
  many as the channels of `offset` say.

  Args:
    x: [B, H, W, C], any float type.
    offset: [B, h, w, D * taps * 2], for each of D groups of channels, and each
      tap of the kernel, row by row, by how many (rows, columns) it is moved.
    kernel: [rows, columns, C / groups, features].
    window: strides, padding, dilation and groups.
    mask: [B, h, w, D * taps], by which what a tap reads is multiplied, in the
      same order; None: 1.

  Returns:
    [B, h, w, features] in the type of `x`.

  Raises:
    ValueError: the offsets or the mask do not fit image and kernel.

  References:
    Dai et al., Deformable Convolutional Networks, 2017,
    https://arxiv.org/abs/1703.06211, section 2.1; with a mask, Zhu et al.,
    Deformable ConvNets v2, 2018, https://arxiv.org/abs/1811.11168.
  """
  batch, _, _, channels = x.shape
  rows, columns, _, features = kernel.shape
  taps, size = rows * columns, window.size(x.shape, kernel.shape)
  parts = offset.shape[-1] // (2 * taps)
  _check(x, offset, kernel, mask, (batch, *size), parts)
  shape = batch, *size, parts, taps
  position = jnp.flip(
      offset.reshape(*shape, 2).astype(jnp.float32)
      + _grid(size, (rows, columns), window),
      -1,
  )
  # Each group of channels is an image of its own.
  groups = x.reshape(*x.shape[:3], parts, -1)
  groups = jnp.moveaxis(groups, 3, 1).reshape(batch * parts, *x.shape[1:3], -1)
  position = jnp.moveaxis(position, 3, 1).reshape(-1, *size, taps, 2)
  read = sample_positions(groups, position)
  if mask is not None:
    weights = jnp.moveaxis(mask.reshape(shape), 3, 1).reshape(read.shape[:-1])
    read *= weights[..., None].astype(read.dtype)
  # [B, parts, h, w, taps, C / parts] to [B, h, w, taps, groups, C / groups].
  read = read.reshape(batch, parts, *size, taps, -1)
  read = jnp.moveaxis(read, 1, 4)
  read = read.reshape(batch, *size, taps, window.groups, -1)
  kernel = kernel.reshape(taps, -1, window.groups, features // window.groups)
  y = jnp.einsum(
      'bhwtgc,tcgf->bhwgf', read, kernel, preferred_element_type=jnp.float32
  )
  return y.reshape(batch, *size, features).astype(x.dtype)


def _grid(size, kernel, window):
  """Returns the (row, column) of each tap before it is moved: [h, w, 1, T, 2].

  Args:
    size: (height, width) of the output.
    kernel: (rows, columns) of the kernel.
    window: strides, padding and dilation.
  """
  axes = [
      np.arange(n)[:, None] * stride - before + np.arange(k) * step
      for n, k, stride, (before, _), step in zip(
          size,
          kernel,
          window.strides,
          window.padding,
          window.dilation,
          strict=True,
      )
  ]
  grid = np.empty((*size, *kernel, 2), np.float32)
  grid[..., 0] = axes[0][:, None, :, None]
  grid[..., 1] = axes[1][None, :, None, :]
  return grid.reshape(*size, 1, kernel[0] * kernel[1], 2)


def _check(x, offset, kernel, mask, places, parts):
  """Raises ValueError unless offsets and mask fit image and kernel."""
  taps, channels = kernel.shape[0] * kernel.shape[1], x.shape[-1]
  fits = parts > 0 and channels % parts == 0
  if not fits or offset.shape != (*places, parts * taps * 2):
    raise ValueError(
        f'offset is {offset.shape}: for an image {x.shape} and a kernel'
        f' {kernel.shape}, it is {(*places, 2 * taps)} or, with offsets for'
        f' each of D groups of the {channels} channels, D times as many.'
    )
  if mask is not None and mask.shape != (*places, parts * taps):
    raise ValueError(
        f'mask is {mask.shape}: with offsets {offset.shape} and {taps} taps, it'
        f' is {(*places, parts * taps)}.'
    )
