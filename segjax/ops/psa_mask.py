"""Masks of point-wise spatial attention: offsets become pairs of positions."""

import jax
from jax import lax
import jax.numpy as jnp


def collect(mask: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Lays out the mask of each position over the positions of the map.

  A mask has a value for each offset of a partner from its position, of which
  the middle cell, ((m - 1) // 2, (n - 1) // 2), is the offset 0. Cells whose
  partner lies outside of the map are left out, and partners without a cell get
  0. As every axis is shifted by slices of a flattened array, neither this nor
  its gradient gathers or scatters.

  Args:
    mask: [B, H, W, m * n], any float type; cells of the mask row by row.
    size: (m, n), rows and columns of a mask.

  Returns:
    [B, H, W, H * W]: what a position has for each partner, row by row.

  References:
    Zhao et al., PSANet: Point-wise Spatial Attention Network for Scene Parsing,
    2018, section 3.2, and `psa_mask` of hszhao/semseg.
  """
  batch, height, width, channels = mask.shape
  rows, columns = size
  if rows * columns != channels:
    raise ValueError(
        f'A mask of {rows} x {columns} cells has {rows * columns} channels, and'
        f' this one has {channels}.'
    )
  x = mask.reshape(batch, height, width, rows, columns)
  x = _partners(x.transpose(0, 1, 3, 2, 4))  # [B, H, m, W, partner's column].
  x = _partners(x.transpose(0, 3, 4, 1, 2))  # [B, W, column, H, row].
  x = x.transpose(0, 3, 1, 4, 2)
  return x.reshape(batch, height, width, height * width)


def distribute(mask: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns what all positions have in their masks for each position.

  This is the transpose of what `collect` returns.

  Args:
    mask: see `collect`.
    size: see `collect`.

  Returns:
    [B, H, W, H * W]: for each position what its partners, row by row, have.
  """
  pairs = collect(mask, size)
  matrix = pairs.reshape(len(pairs), pairs.shape[-1], pairs.shape[-1])
  return matrix.swapaxes(1, 2).reshape(pairs.shape)


def _partners(x):
  """Turns offsets into positions along an axis: [..., N, M] to [..., N, N]."""
  *before, length, offsets = x.shape
  middle = (offsets - 1) // 2
  # Offsets from -(N - 1) to N - 1, of which some may be cut off.
  padding = length - 1 - middle, length - offsets + middle
  x = lax.pad(
      x,
      jnp.zeros((), x.dtype),
      [*((0, 0, 0) for _ in x.shape[:-1]), (*padding, 0)],
  )
  if length == 1:
    return x
  # Position i begins i offsets earlier: rows that are shorter by one do that.
  step = 2 * length - 2
  x = x.reshape(*before, -1)[..., length - 1 : length - 1 + length * step]
  return x.reshape(*before, length, step)[..., :length]
