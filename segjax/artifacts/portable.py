"""Rewrites a function for runtimes that know less than XLA.

`portable` traces a function of images and writes it down again with what other
runtimes have: what depends on weights alone is computed, calls and branches are
put in line, norms go into the convolutions before them, transposed convolutions
become ordinary ones, and layouts are [B, H, W, C]. The results are equal up to
the rounding of floats.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import itertools
from typing import Any

import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

LAYOUT = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
# Primitives that are calls of a program, and the name of that program.
CALLS = {
    'jit': 'jaxpr',
    'closed_call': 'call_jaxpr',
    'core_call': 'call_jaxpr',
    'custom_jvp_call': 'call_jaxpr',
    'custom_vjp_call': 'call_jaxpr',
    'remat2': 'jaxpr',
    'checkpoint': 'jaxpr',
}
SAME = ('optimization_barrier', 'copy', 'sharding_constraint', 'stop_gradient')
UNROLLED = 64  # Steps of the longest loop that is written out.
# Values of the largest constant that is stored where it could be computed.
LARGEST = 1 << 22


@dataclasses.dataclass
class _Product:
  """A convolution or a matrix product whose channels may yet be scaled.

  Attributes:
    compute: from the weights to the result without `offset`.
    weights: of the product.
    channel: axis of `weights` that becomes the channels of the result.
    axis: axis of the result with its channels.
    shape: of the result.
    offset: added to the channels, [C].
  """

  compute: Callable
  weights: np.ndarray
  channel: int
  axis: int
  shape: tuple[int, ...]
  offset: np.ndarray

  def per_channel(self, value: Any) -> np.ndarray | None:
    """Returns an operand of `shape` as [C] or None if it is not of that kind.

    Args:
      value: a constant that the result is combined with.
    """
    value = np.asarray(value)
    if value.dtype != np.float32:
      return None
    sides = [
        side
        for axis, side in enumerate(value.shape)
        if axis != self.axis % max(len(self.shape), 1)
    ]
    if value.ndim == 0 or all(side == 1 for side in value.shape):
      return np.full(self.offset.shape, value.reshape(()))
    if value.ndim != len(self.shape) or any(side != 1 for side in sides):
      return None
    return value.reshape(-1)

  def scaled(self, factor: np.ndarray) -> '_Product':
    """Returns the product times a factor for each channel, [C]."""
    shape = [1] * self.weights.ndim
    shape[self.channel] = -1
    weights = self.weights * factor.reshape(shape)
    return dataclasses.replace(
        self, weights=weights, offset=self.offset * factor
    )

  def shifted(self, term: np.ndarray) -> '_Product':
    """Returns the product with a term added to each channel, [C]."""
    return dataclasses.replace(self, offset=self.offset + term)

  def value(self) -> jax.Array:
    """Computes the product."""
    y = self.compute(self.weights)
    if not self.offset.any():
      return y
    shape = [1] * len(self.shape)
    shape[self.axis] = -1
    return lax.add_p.bind(y, lax.broadcast(self.offset.reshape(shape), ()))


def portable(
    function: Callable, *shapes: jax.ShapeDtypeStruct, finite: bool = False
) -> tuple[core.ClosedJaxpr, Any]:
  """Traces a function and rewrites its program.

  Args:
    function: of arrays; the weights that it closes over become constants.
    *shapes: of its arguments.
    finite: whether maxima are taken over repeated border pixels instead of
      infinite padding, for which 8-bit integers have no number.

  Returns:
    The program, which `jax.extend.core.jaxpr_as_fun` calls, and the tree of its
    results with their shapes.
  """
  closed, results = jax.make_jaxpr(function, return_shape=True)(*shapes)

  def rewritten(*arguments):
    outputs = _run(closed.jaxpr, closed.consts, arguments)
    return [_computed(x) for x in outputs]

  nested = jax.make_jaxpr(rewritten)(*shapes)

  def flat(*arguments):
    return _run(nested.jaxpr, nested.consts, arguments, _inlined)

  program = jax.make_jaxpr(flat)(*shapes)
  if finite:

    def bordered(*arguments):
      return _run(program.jaxpr, program.consts, arguments, _with_borders)

    return without_unused(jax.make_jaxpr(bordered)(*shapes)), results
  return without_unused(program), results


def without_unused(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
  """Returns a program without the equations that no result depends on."""
  used = {v for v in closed.jaxpr.outvars if isinstance(v, core.Var)}
  equations = []
  for equation in reversed(closed.jaxpr.eqns):
    if used.intersection(equation.outvars):
      equations.append(equation)
      used.update(v for v in equation.invars if isinstance(v, core.Var))
  jaxpr = closed.jaxpr.replace(eqns=equations[::-1])
  return core.ClosedJaxpr(jaxpr, closed.consts)


def _run(jaxpr, constants, arguments, apply=None) -> list:
  """Evaluates a program on constants, tracers and products.

  Args:
    jaxpr: the program.
    constants: its constants, NumPy arrays or keys of random numbers.
    arguments: its arguments.
    apply: from an equation and its inputs to its results; by default `_apply`.
  """
  apply = apply or _apply
  uses = {}
  for v in [*(v for e in jaxpr.eqns for v in e.invars), *jaxpr.outvars]:
    if isinstance(v, core.Var):
      uses[v] = uses.get(v, 0) + 1
  values = {}

  def read(v):
    return np.asarray(v.val) if isinstance(v, core.Literal) else values[v]

  def write(v, value):
    # What is needed twice is computed once, before it is scaled.
    if isinstance(value, _Product) and uses.get(v, 0) > 1:
      value = value.value()
    values[v] = value

  for v, value in zip(jaxpr.constvars, constants, strict=True):
    write(v, _as_constant(value))
  for v, value in zip(jaxpr.invars, arguments, strict=True):
    write(v, value)
  for equation in jaxpr.eqns:
    inputs = [read(v) for v in equation.invars]
    for v, value in zip(equation.outvars, apply(equation, inputs), strict=True):
      write(v, value)
  return [read(v) for v in jaxpr.outvars]


def _as_constant(value):
  """Returns a constant as NumPy's; keys of random numbers have none."""
  if isinstance(value, jax.core.Tracer):
    return value
  if isinstance(value, jax.Array) and jnp.issubdtype(
      value.dtype, jax.dtypes.prng_key
  ):
    return value
  return np.asarray(value)


def _computed(value):
  """Returns a value that equations may be applied to."""
  return value.value() if isinstance(value, _Product) else value


def _is_constant(value):
  return not isinstance(value, jax.core.Tracer | _Product)


def _inlined(equation, inputs) -> list:
  """Returns the results of an equation, with calls put in line."""
  if equation.primitive.name not in CALLS:
    return _bind(equation, inputs)
  inner = equation.params[CALLS[equation.primitive.name]]
  return _run(inner.jaxpr, inner.consts, inputs, _inlined)


def _with_borders(equation, inputs) -> list:
  """Returns the results of an equation, without infinite padding.

  Each window of a maximum that reaches over the border includes the border
  pixel itself, so the pixel may be repeated.
  """
  options = equation.params
  if equation.primitive.name != 'reduce_window_max' or any(
      max(pad) >= side
      for pad, side in zip(
          options['padding'], options['window_dimensions'], strict=True
      )
      if any(pad)
  ):
    return _bind(equation, inputs)
  (x,) = inputs
  for axis, (low, high) in enumerate(options['padding']):
    first = lax.slice_in_dim(x, 0, 1, axis=axis)
    last = lax.slice_in_dim(x, x.shape[axis] - 1, x.shape[axis], axis=axis)
    if low or high:
      x = lax.concatenate([first] * low + [x] + [last] * high, axis)
  return [
      equation.primitive.bind(
          x, **options | dict(padding=((0, 0),) * len(options['padding']))
      )
  ]


def _apply(equation, inputs) -> list:
  """Returns the results of an equation, rewritten where that is needed."""
  name, options = equation.primitive.name, equation.params
  if name in CALLS:
    inner = options[CALLS[name]]
    if isinstance(inner, core.ClosedJaxpr):
      return _run(inner.jaxpr, inner.consts, inputs)
    return _run(inner, (), inputs)
  if name in SAME:
    return inputs
  if name == 'platform_index':
    platforms = options['platforms']
    default = platforms.index(None) if None in platforms else -1
    return [np.int32(default % len(platforms))]
  if name == 'cond' and _is_constant(inputs[0]):
    branches = options['branches']
    index = int(np.clip(inputs[0], 0, len(branches) - 1))
    branch = branches[index]
    return _run(branch.jaxpr, branch.consts, inputs[1:])
  if name == 'scan' and options['length'] <= UNROLLED:
    return _unrolled(options, inputs)
  size = max((v.aval.size for v in equation.outvars), default=0)
  small = size <= max(LARGEST, *(np.size(x) for x in inputs), 0)
  if small and all(map(_is_constant, inputs)):
    with jax.ensure_compile_time_eval():
      return list(map(_as_constant, _bind(equation, inputs)))
  if name in ('add', 'sub', 'mul', 'div', 'neg'):
    result = _combined(name, inputs)
    if result is not None:
      return [result]
  inputs = list(map(_computed, inputs))
  if name in REWRITTEN:
    return [REWRITTEN[name](equation, inputs)]
  return _bind(equation, inputs)


def _bind(equation, inputs) -> list:
  """Applies an equation as it is."""
  options = equation.primitive.get_bind_params(equation.params)
  result = equation.primitive.bind(*inputs, **options)
  return list(result) if equation.primitive.multiple_results else [result]


def _unrolled(options, inputs) -> list:
  """Returns the results of a loop of known length, step by step."""
  body, length = options['jaxpr'], options['length']
  num_constants, num_carried = options['num_consts'], options['num_carry']
  inputs = list(map(_computed, inputs))
  constants = inputs[:num_constants]
  carried = inputs[num_constants : num_constants + num_carried]
  series = inputs[num_constants + num_carried :]
  steps = range(length)
  rows = [None] * length
  for i in reversed(steps) if options['reverse'] else steps:
    with _eagerly(series):
      now = [_at(x, i) for x in series]
    outputs = _run(body.jaxpr, body.consts, [*constants, *carried, *now])
    outputs = list(map(_computed, outputs))
    carried, rows[i] = outputs[:num_carried], outputs[num_carried:]
  stacked = [
      np.stack(column) if all(map(_is_constant, column)) else _stack(column, 0)
      for column in zip(*rows, strict=True)
  ]
  return [*carried, *stacked]


def _eagerly(values):
  """Returns a context that computes at once if all values are constants."""
  if all(map(_is_constant, values)):
    return jax.ensure_compile_time_eval()
  return jax.named_scope('loop')


def _at(x, i):
  """Returns an entry of a constant or a traced array."""
  return x[i] if _is_constant(x) else lax.index_in_dim(x, i, keepdims=False)


def _combined(name, inputs):
  """Returns a product that is scaled or shifted by constants, or None."""
  if name == 'neg':
    (x,) = inputs
    return x.scaled(-np.ones_like(x.offset)) if type(x) is _Product else None
  first, second = inputs
  if type(first) is _Product and _is_constant(second):
    c = first.per_channel(second)
    if c is None:
      return None
    match name:
      case 'add':
        return first.shifted(c)
      case 'sub':
        return first.shifted(-c)
      case 'mul':
        return first.scaled(c)
      case _:
        return first.scaled(1 / c) if c.all() else None
  if type(second) is _Product and _is_constant(first) and name != 'div':
    c = second.per_channel(first)
    if c is None:
      return None
    match name:
      case 'add':
        return second.shifted(c)
      case 'sub':
        return second.scaled(-np.ones_like(c)).shifted(c)
      case _:
        return second.scaled(c)
  return None


def _convolution(equation, inputs):
  """Returns a convolution over [B, H, W, C], a product if it is of weights."""
  (x, kernel), options = inputs, equation.params
  spec = options['dimension_numbers']
  if x.ndim != 4 or options['batch_group_count'] != 1:
    return _bind(equation, inputs)[0]
  x = _transposed(x, [spec.lhs_spec[i] for i in (0, 2, 3, 1)])
  kernel = _transposed(kernel, [spec.rhs_spec[i] for i in (2, 3, 1, 0)])
  rows, columns = options['lhs_dilation']
  x = _stuffed(_stuffed(x, 1, rows), 2, columns)
  padding = options['padding']
  if min(min(pad) for pad in padding) < 0:
    x = lax.pad(
        x,
        np.float32(0),
        [
            (0, 0, 0),
            *((min(a, 0), min(b, 0), 0) for a, b in padding),
            (0, 0, 0),
        ],
    )
    padding = tuple((max(a, 0), max(b, 0)) for a, b in padding)
  canonical = options | dict(
      dimension_numbers=LAYOUT, lhs_dilation=(1, 1), padding=padding
  )

  def compute(kernel):
    return lax.conv_general_dilated_p.bind(x, jnp.asarray(kernel), **canonical)

  back = np.argsort([spec.out_spec[i] for i in (0, 2, 3, 1)])
  if not _is_constant(kernel) or list(back) != [0, 1, 2, 3]:
    return _transposed(compute(kernel), back)
  shape = jax.eval_shape(compute, kernel).shape
  return _Product(
      compute, kernel, 3, 3, shape, np.zeros(shape[-1], kernel.dtype)
  )


def _transposed(x, order):
  """Transposes a constant at once, and other arrays if they change."""
  order = tuple(int(i) for i in order)
  if order == tuple(range(x.ndim)):
    return x
  return np.transpose(x, order) if _is_constant(x) else lax.transpose(x, order)


def _stuffed(x, axis, step, value=0):
  """Puts `step` - 1 values between the pixels along an axis."""
  if step == 1:
    return x
  shape, side = x.shape, x.shape[axis]
  # Four axes, which every runtime can pad.
  split = np.prod(shape[:axis], dtype=int), side, 1, -1
  borders = [(0, 0, 0), (0, 0, 0), (0, step - 1, 0), (0, 0, 0)]
  x = lax.pad(x.reshape(split), jnp.asarray(value, x.dtype), borders)
  x = x.reshape(*shape[:axis], side * step, *shape[axis + 1 :])
  return lax.slice_in_dim(x, 0, side * step - (step - 1), axis=axis)


def _padded(equation, inputs):
  """Pads at the borders alone, and cuts off where that is negative."""
  x, value = inputs
  borders = equation.params['padding_config']
  for axis, (_, _, inside) in enumerate(borders):
    x = _stuffed(x, axis, inside + 1, value)
  return lax.pad(x, value, [(low, high, 0) for low, high, _ in borders])


def _product(equation, inputs):
  """Returns a matrix product, one that may be scaled if it is by weights."""
  x, weights = inputs
  (of_x, of_weights), (batch, _) = equation.params['dimension_numbers']
  free = [i for i in range(weights.ndim) if i not in of_weights]
  if batch or len(free) != 1 or not _is_constant(weights) or not x.ndim:
    (y,) = _bind(equation, inputs)
    return y

  def compute(weights):
    (y,) = _bind(equation, [x, jnp.asarray(weights)])
    return y

  shape = equation.outvars[0].aval.shape
  offset = np.zeros(shape[-1], weights.dtype)
  return _Product(compute, weights, free[0], len(shape) - 1, shape, offset)


def _gathered(equation, inputs):
  """Gathers rows of a table [N, R] by one index each."""
  (x, starts), options = inputs, equation.params
  numbers, sizes = options['dimension_numbers'], options['slice_sizes']
  shape = equation.outvars[0].aval.shape
  dims = _Dims(
      numbers.offset_dims,
      (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims),
      numbers.start_index_map,
      numbers.operand_batching_dims,
      numbers.start_indices_batching_dims,
  )
  # Axes at the end that are taken as a whole make up a row.
  whole = 0
  while (
      whole < min(x.ndim, len(shape))
      and sizes[-1 - whole] == x.shape[-1 - whole]
      and x.ndim - 1 - whole not in (*dims.dropped, *dims.indexed)
      and len(shape) - 1 - whole in numbers.offset_dims
  ):
    whole += 1
  index, inside = _flat(x.shape, starts, sizes, shape, dims, whole)
  row = int(np.prod(x.shape[x.ndim - whole :]))
  index = jnp.broadcast_to(index, shape[: len(shape) - whole]).reshape(-1, 1)
  y = lax.gather(
      jnp.reshape(x, (-1, row)),
      index,
      lax.GatherDimensionNumbers((1,), (0,), (0,)),
      (1, row),
      mode=lax.GatherScatterMode.CLIP,
  ).reshape(shape)
  if options['mode'] != lax.GatherScatterMode.FILL_OR_DROP or inside is True:
    return y
  fill = options['fill_value']
  if fill is None:
    fill = np.nan if jnp.issubdtype(x.dtype, jnp.inexact) else 0
  inside = inside.reshape(*inside.shape, *[1] * whole)
  return jnp.where(inside, y, jnp.asarray(fill, x.dtype))


def _scattered(equation, inputs):
  """Scatters single values into a table [N]."""
  (x, starts, updates), options = inputs, equation.params
  numbers = options['dimension_numbers']
  dropped = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
  dims = _Dims(
      numbers.update_window_dims,
      dropped,
      numbers.scatter_dims_to_operand_dims,
      numbers.operand_batching_dims,
      numbers.scatter_indices_batching_dims,
  )
  window = iter(updates.shape[i] for i in numbers.update_window_dims)
  sizes = [1 if d in dropped else next(window) for d in range(x.ndim)]
  index, inside = _flat(x.shape, starts, sizes, updates.shape, dims, 0)
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


@dataclasses.dataclass(frozen=True)
class _Dims:
  """Axes of a gather or scatter, as `lax.GatherDimensionNumbers` has them."""

  offsets: tuple[int, ...]  # Of the result, within a slice.
  dropped: tuple[int, ...]  # Of the operand, not in the result.
  indexed: tuple[int, ...]  # Of the operand, by the columns of the indices.
  batch: tuple[int, ...]  # Of the operand, which run along with the indices.
  batch_of_indices: tuple[int, ...]


def _flat(operand, starts, sizes, shape, dims, whole):
  """Returns the places of the values of slices in a flattened operand.

  Args:
    operand: its shape.
    starts: first indices, [..., n].
    sizes: of a slice.
    shape: of the result.
    dims: the axes.
    whole: number of axes at the end that are left out.

  Returns:
    The places, an array that broadcasts to `shape` without the last `whole`
    axes; and whether the slices are inside, of the same kind, or True.
  """
  rank = len(shape) - whole
  others = [i for i in range(len(shape)) if i not in dims.offsets]

  def at(values, axes):
    """Returns values with axes of the result that are given."""
    sides = [1] * rank
    for axis, side in zip(axes, np.shape(values), strict=True):
      sides[axis] = side
    return values.reshape(sides)

  offsets = iter(dims.offsets)
  places, inside = np.zeros([1] * rank, np.int32), True
  for d in range(len(operand) - whole):
    stride = np.int32(np.prod(operand[d + 1 : len(operand) - whole], dtype=int))
    index = np.zeros([1] * rank, np.int32)
    if d not in dims.dropped:
      index = at(np.arange(sizes[d], dtype=np.int32), [next(offsets)])
    if d in dims.batch:
      axis = others[dims.batch_of_indices[dims.batch.index(d)]]
      index = at(np.arange(operand[d], dtype=np.int32), [axis])
    if d in dims.indexed:
      first = starts[..., dims.indexed.index(d)].astype(np.int32)
      first, last = at(first, others), np.int32(operand[d] - sizes[d])
      if _is_constant(first):
        good = bool(((first >= 0) & (first <= last)).all()) or (
            (first >= 0) & (first <= last)
        )
        index = index + np.clip(first, 0, last)
      else:
        good = (first >= 0) & (first <= last)
        index = index + jnp.clip(first, 0, last)
      if good is not True:
        inside = good if inside is True else inside & good
    places = places + index * stride
  return places, inside


def _sliced(equation, inputs):
  """Gathers a slice whose place is not known before."""
  x, *starts = inputs
  sizes = equation.params['slice_sizes']
  for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
    if size == x.shape[axis]:
      continue
    if _is_constant(start):
      first = int(np.clip(start, 0, x.shape[axis] - size))
      x = lax.slice_in_dim(x, first, first + size, axis=axis)
      continue
    first = jnp.clip(start.astype(np.int32), 0, x.shape[axis] - size)
    index = first + np.arange(size, dtype=np.int32)
    order = [axis, *(i for i in range(x.ndim) if i != axis)]
    rows = jnp.transpose(x, order)
    y = lax.gather(
        rows.reshape(x.shape[axis], -1),
        index[:, None],
        lax.GatherDimensionNumbers((1,), (0,), (0,)),
        (1, x.size // x.shape[axis]),
        mode=lax.GatherScatterMode.CLIP,
    )
    y = y.reshape(size, *rows.shape[1:])
    x = jnp.transpose(y, np.argsort(order))
  return x


def _concatenated(equation, inputs):
  """Concatenates what has values: some runtimes have no empty arrays."""
  axis = equation.params['dimension']
  parts = [x for x in inputs if x.shape[axis]]
  if len(parts) < 2:
    return (parts or inputs)[0]
  return lax.concatenate(parts, axis)


def _stacked(equation, inputs):
  """Stacks arrays by a concatenation."""
  return _stack(inputs, equation.params['axis'])


def _stack(inputs, axis):
  return lax.concatenate([lax.expand_dims(x, [axis]) for x in inputs], axis)


def _selected(equation, inputs):
  """Selects among arrays of few axes, which every runtime does."""
  which, *cases = inputs
  shape = cases[0].shape
  if len(shape) <= 4 or np.shape(which) != shape:
    return _bind(equation, inputs)[0]
  flat = [lax.reshape(jnp.asarray(x), (np.prod(shape),)) for x in inputs]
  return _bind(equation, flat)[0].reshape(shape)


def _cumulative(combine):
  """Returns a rule that writes out a cumulative operation along an axis."""

  def rule(equation, inputs):
    (x,), options = inputs, equation.params
    axis, side = options['axis'], x.shape[options['axis']]
    if side > UNROLLED:
      return _bind(equation, inputs)[0]
    parts = [
        lax.slice_in_dim(x, i, i + 1, axis=axis)
        for i in (range(side)[::-1] if options['reverse'] else range(side))
    ]
    sums = list(itertools.accumulate(parts, combine))
    return lax.concatenate(sums[::-1] if options['reverse'] else sums, axis)

  return rule


SCATTERS = {'scatter': lax.scatter, 'scatter-add': lax.scatter_add}
REWRITTEN = {
    'concatenate': _concatenated,
    'conv_general_dilated': _convolution,
    'cummax': _cumulative(jnp.maximum),
    'cummin': _cumulative(jnp.minimum),
    'cumprod': _cumulative(jnp.multiply),
    'cumsum': _cumulative(jnp.add),
    'dot_general': _product,
    'dynamic_slice': _sliced,
    'gather': _gathered,
    'pad': _padded,
    'select_n': _selected,
    'stack': _stacked,
    **dict.fromkeys(SCATTERS, _scattered),
}


def count(closed: core.ClosedJaxpr) -> dict[str, int]:
  """Returns how often each primitive stands in a program."""
  counts: dict[str, int] = {}
  for equation in closed.jaxpr.eqns:
    name = equation.primitive.name
    counts[name] = counts.get(name, 0) + 1
  return counts


def as_function(closed: core.ClosedJaxpr) -> Callable[..., Sequence[jax.Array]]:
  """Returns the function of a program, from arrays to a list of arrays."""
  return core.jaxpr_as_fun(closed)
