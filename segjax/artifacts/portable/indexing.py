"""Gathers and scatters, written as such of the rows of a table."""

from collections.abc import Sequence
import dataclasses
from typing import Any

from jax import lax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts.portable.values import is_constant

SCATTERS = {'scatter': lax.scatter, 'scatter-add': lax.scatter_add}


@dataclasses.dataclass(frozen=True)
class _Axes:
  """Axes of a gather or scatter, as `lax.GatherDimensionNumbers` has them."""

  offsets: tuple[int, ...]  # Of the result, within a slice.
  dropped: tuple[int, ...]  # Of the operand, not in the result.
  indexed: tuple[int, ...]  # Of the operand, by the columns of the indices.
  batch: tuple[int, ...]  # Of the operand, which run along with the indices.
  batch_of_indices: tuple[int, ...]


def gather(equation, inputs: Sequence) -> Any:
  """Gathers rows of a table [N, R] by one index each."""
  (x, starts), options = inputs, equation.params
  numbers, sizes = options['dimension_numbers'], options['slice_sizes']
  shape = equation.outvars[0].aval.shape
  axes = _Axes(
      numbers.offset_dims,
      (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims),
      numbers.start_index_map,
      numbers.operand_batching_dims,
      numbers.start_indices_batching_dims,
  )
  whole = _axes_of_rows(x.shape, sizes, shape, axes)
  index, inside = _places(x.shape, starts, sizes, shape, axes, whole)
  index = jnp.broadcast_to(index, shape[: len(shape) - whole]).reshape(-1)
  row = int(np.prod(x.shape[x.ndim - whole :]))
  y = _rows(jnp.reshape(x, (-1, row)), index).reshape(shape)
  if options['mode'] != lax.GatherScatterMode.FILL_OR_DROP or inside is True:
    return y
  fill = options['fill_value']
  if fill is None:
    fill = np.nan if jnp.issubdtype(x.dtype, jnp.inexact) else 0
  inside = inside.reshape(*inside.shape, *[1] * whole)
  return jnp.where(inside, y, jnp.asarray(fill, x.dtype))


def scatter(equation, inputs: Sequence) -> Any:
  """Scatters single values into a table [N]."""
  (x, starts, updates), options = inputs, equation.params
  numbers = options['dimension_numbers']
  dropped = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
  axes = _Axes(
      numbers.update_window_dims,
      dropped,
      numbers.scatter_dims_to_operand_dims,
      numbers.operand_batching_dims,
      numbers.scatter_indices_batching_dims,
  )
  window = iter(updates.shape[i] for i in numbers.update_window_dims)
  sizes = [1 if d in dropped else next(window) for d in range(x.ndim)]
  index, inside = _places(x.shape, starts, sizes, updates.shape, axes, 0)
  index = jnp.broadcast_to(index, updates.shape)
  table, size = jnp.reshape(x, -1), int(np.prod(x.shape))
  if options['mode'] == lax.GatherScatterMode.FILL_OR_DROP and (
      inside is not True
  ):
    # What is outside goes to a place behind the others.
    index = jnp.where(inside, index, size)
    table = jnp.pad(table, (0, 1))
  y = SCATTERS[equation.primitive.name](
      table,
      index.reshape(-1, 1),
      jnp.reshape(updates, -1),
      lax.ScatterDimensionNumbers((), (0,), (0,)),
      mode=lax.GatherScatterMode.CLIP,
  )
  return y[:size].reshape(x.shape)


def dynamic_slice(equation, inputs: Sequence) -> Any:
  """Gathers a slice whose place is not known before, axis by axis."""
  x, *starts = inputs
  sizes = equation.params['slice_sizes']
  for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
    last = x.shape[axis] - size
    if last == 0:
      continue
    if is_constant(start):
      first = int(np.clip(start, 0, last))
      x = lax.slice_in_dim(x, first, first + size, axis=axis)
      continue
    first = jnp.clip(start.astype(np.int32), 0, last)
    order = [axis, *(i for i in range(x.ndim) if i != axis)]
    table = jnp.transpose(x, order)
    y = _rows(
        table.reshape(x.shape[axis], -1),
        first + np.arange(size, dtype=np.int32),
    )
    x = jnp.transpose(y.reshape(size, *table.shape[1:]), np.argsort(order))
  return x


def _rows(table, index):
  """Returns the rows [n, R] of a table [N, R] at indices [n]."""
  return lax.gather(
      table,
      index[:, None],
      lax.GatherDimensionNumbers((1,), (0,), (0,)),
      (1, table.shape[1]),
      mode=lax.GatherScatterMode.CLIP,
  )


def _axes_of_rows(operand, sizes, shape, axes):
  """Returns how many axes at the end are taken as a whole: they are a row.

  Args:
    operand: its shape.
    sizes: of a slice.
    shape: of the result.
    axes: of the gather.
  """
  whole = 0
  while (
      whole < min(len(operand), len(shape))
      and sizes[-1 - whole] == operand[-1 - whole]
      and len(operand) - 1 - whole not in (*axes.dropped, *axes.indexed)
      and len(shape) - 1 - whole in axes.offsets
  ):
    whole += 1
  return whole


def _places(operand, starts, sizes, shape, axes, whole):
  """Returns the places of the values of slices in a flattened operand.

  Args:
    operand: its shape.
    starts: first indices, [..., n].
    sizes: of a slice.
    shape: of the result.
    axes: of the gather or scatter.
    whole: number of axes at the end that are left out.

  Returns:
    The places, an array that broadcasts to `shape` without the last `whole`
    axes; and whether the slices are inside, of the same kind, or True.
  """
  rank = len(shape) - whole
  others = [i for i in range(len(shape)) if i not in axes.offsets]

  def at(values, axes):
    """Returns values with axes of the result that are given."""
    sides = [1] * rank
    for axis, side in zip(axes, np.shape(values), strict=True):
      sides[axis] = side
    return values.reshape(sides)

  offsets = iter(axes.offsets)
  places, inside = np.zeros([1] * rank, np.int32), True
  for d in range(len(operand) - whole):
    stride = np.int32(np.prod(operand[d + 1 : len(operand) - whole], dtype=int))
    index = np.zeros([1] * rank, np.int32)
    if d not in axes.dropped:
      index = at(np.arange(sizes[d], dtype=np.int32), [next(offsets)])
    if d in axes.batch:
      axis = others[axes.batch_of_indices[axes.batch.index(d)]]
      index = at(np.arange(operand[d], dtype=np.int32), [axis])
    if d in axes.indexed:
      first = starts[..., axes.indexed.index(d)].astype(np.int32)
      first, last = at(first, others), np.int32(operand[d] - sizes[d])
      fits = (first >= 0) & (first <= last)
      clip = np.clip if is_constant(first) else jnp.clip
      index = index + clip(first, 0, last)
      if not is_constant(fits) or not fits.all():
        inside = fits if inside is True else inside & fits
    places = places + index * stride
  return places, inside
