"""Writes a program of JAX as an ONNX graph, https://onnx.ai/onnx/operators.

It is for programs that `portable` has rewritten: of convolutions it knows
those over [B, H, W, C] alone, and of gathers those of rows.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from jax.extend import core
import numpy as np
import onnx
from onnx import helper
from onnx import numpy_helper

OPSET = 18
IR_VERSION = 10  # Read by ONNX Runtime from 1.18 on.

# Primitives that are an operator of as many inputs.
OPERATORS = dict(
    add='Add',
    sub='Sub',
    mul='Mul',
    div='Div',
    max='Max',
    min='Min',
    pow='Pow',
    neg='Neg',
    exp='Exp',
    log='Log',
    sqrt='Sqrt',
    tanh='Tanh',
    abs='Abs',
    sign='Sign',
    floor='Floor',
    ceil='Ceil',
    erf='Erf',
    sin='Sin',
    cos='Cos',
    eq='Equal',
    lt='Less',
    le='LessOrEqual',
    gt='Greater',
    ge='GreaterOrEqual',
)
LOGICAL = {'and': 'And', 'or': 'Or', 'xor': 'Xor', 'not': 'Not'}
REDUCTIONS = dict(
    reduce_max='ReduceMax',
    reduce_min='ReduceMin',
    reduce_sum='ReduceSum',
    reduce_prod='ReduceProd',
    reduce_and='ReduceMin',
    reduce_or='ReduceMax',
)


def model(
    closed: core.ClosedJaxpr,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
  """Returns the ONNX model of a program.

  Args:
    closed: the program, from `portable.rewrite`.
    inputs: names of its arguments.
    outputs: names of its results.
    metadata: texts by name that the file carries.

  Raises:
    NotImplementedError: a primitive of the program has no operator here.
  """
  return _Graph(closed, inputs, outputs).model(metadata)


class _Graph:
  """The nodes and constants of a graph that is written."""

  def __init__(self, closed, inputs, outputs):
    self._nodes, self._constants, self._names = [], [], {}
    self._values, self._stored = {}, {}
    self._count = 0
    jaxpr = closed.jaxpr
    self._takes_logarithms = any(e.primitive.name == 'log' for e in jaxpr.eqns)
    for v, value in zip(jaxpr.constvars, closed.consts, strict=True):
      self._values[v] = np.asarray(value)
    for v, name in zip(jaxpr.invars, inputs, strict=True):
      self._names[v] = name
    for equation in jaxpr.eqns:
      self._write(equation)
    results = zip(jaxpr.outvars, outputs, strict=True)
    for v, name in results:
      self._nodes.append(helper.make_node('Identity', [self._name(v)], [name]))
    self._inputs = [
        _described(name, v.aval)
        for v, name in zip(jaxpr.invars, inputs, strict=True)
    ]
    self._outputs = [
        _described(name, v.aval)
        for v, name in zip(jaxpr.outvars, outputs, strict=True)
    ]

  def model(self, metadata):
    """Returns the model, checked."""
    graph = helper.make_graph(
        self._nodes, 'segjax', self._inputs, self._outputs, self._constants
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid('', OPSET)],
        producer_name='segjax',
        ir_version=IR_VERSION,
    )
    helper.set_model_props(made, dict(metadata))
    return made

  def _write(self, equation):
    """Adds the nodes of an equation."""
    name = equation.primitive.name
    write = getattr(self, f'_{name.replace("-", "_")}', None)
    if name in OPERATORS:
      result = self.node(OPERATORS[name], *map(self._name, equation.invars))
    elif name in LOGICAL:
      result = self._logical(equation)
    elif name in REDUCTIONS:
      result = self._reduction(equation)
    elif write is None:
      raise NotImplementedError(
          f'ONNX has no operator for the primitive {name} here.'
      )
    else:
      result = write(equation)
    results = result if isinstance(result, list) else [result]
    for v, value in zip(equation.outvars, results, strict=True):
      self._names[v] = value

  # What the graph is made of.

  def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes):
    """Adds a node; returns the name of its result, or a list of several."""
    self._count += 1
    names = [f'{operator}_{self._count}_{i}' for i in range(outputs)]
    self._nodes.append(
        helper.make_node(operator, list(inputs), names, **attributes)
    )
    return names[0] if outputs == 1 else names

  def constant(self, value: np.ndarray) -> str:
    """Stores an array once, and returns its name."""
    value = np.ascontiguousarray(value)
    key = value.dtype.str, value.shape, value.tobytes()
    if key not in self._stored:
      name = f'constant_{len(self._stored)}'
      self._constants.append(numpy_helper.from_array(value, name))
      self._stored[key] = name
    return self._stored[key]

  def _known(self, v):
    """Returns the value of a variable if it is a constant, else None."""
    if isinstance(v, core.Literal):
      return np.asarray(v.val, v.aval.dtype)
    return self._values.get(v)

  def _name(self, v):
    known = self._known(v)
    return self._names[v] if known is None else self.constant(known)

  def _integers(self, values):
    return self.constant(np.array(values, np.int64))

  def _number(self, v, value):
    """Stores a scalar of the type of a variable."""
    return self.constant(np.array(value, v.aval.dtype))

  def _cast(self, name, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return self.node('Cast', name, to=kind)

  def _shaped(self, name, shape):
    return self.node('Reshape', name, self._integers(shape))

  def _ordered(self, v, order):
    """Returns the name of a transposed variable."""
    known, order = self._known(v), [int(i) for i in order]
    if known is not None:
      return self.constant(known.transpose(order))
    name = self._names[v]
    if order == sorted(order):
      return name
    return self.node('Transpose', name, perm=order)

  # Primitives, in the order of the alphabet.

  def _argmax(self, equation, operator='ArgMax'):
    (axis,) = equation.params['axes']
    x = self._name(equation.invars[0])
    if _is_bool(equation.invars[0]):
      x = self._cast(x, np.int32)
    index = self.node(operator, x, axis=axis, keepdims=0)
    return self._cast(index, equation.params['index_dtype'])

  def _argmin(self, equation):
    return self._argmax(equation, 'ArgMin')

  def _broadcast_in_dim(self, equation):
    (v, *_), shape = equation.invars, equation.params['shape']
    narrow = [1] * len(shape)
    for axis, side in zip(
        equation.params['broadcast_dimensions'], v.aval.shape, strict=True
    ):
      narrow[axis] = side
    x = self._name(v)
    if narrow != list(v.aval.shape):
      x = self._shaped(x, narrow)
    if narrow == list(shape):
      return x
    return self.node('Expand', x, self._integers(shape))

  def _clamp(self, equation):
    low, x, high = map(self._name, equation.invars)
    return self.node('Min', self.node('Max', x, low), high)

  def _concatenate(self, equation):
    names = map(self._name, equation.invars)
    return self.node('Concat', *names, axis=equation.params['dimension'])

  def _conv_general_dilated(self, equation):
    options = equation.params
    spec = options['dimension_numbers']
    rank = len(options['window_strides'])
    x = self._ordered(equation.invars[0], spec.lhs_spec)
    kernel = self._ordered(equation.invars[1], spec.rhs_spec)
    if set(options['lhs_dilation']) != {1} or options['batch_group_count'] != 1:
      raise NotImplementedError('Transposed convolutions are rewritten before.')
    y = self.node(
        'Conv',
        *(x, kernel),
        strides=options['window_strides'],
        dilations=options['rhs_dilation'],
        group=options['feature_group_count'],
        pads=[
            options['padding'][axis][end]
            for end in (0, 1)
            for axis in range(rank)
        ],
    )
    order = [int(i) for i in np.argsort(spec.out_spec)]
    return self.node('Transpose', y, perm=order)

  def _convert_element_type(self, equation):
    return self._cast(
        self._name(equation.invars[0]), equation.params['new_dtype']
    )

  def _cumsum(self, equation):
    return self.node(
        'CumSum',
        self._name(equation.invars[0]),
        self.constant(np.array(equation.params['axis'], np.int64)),
        reverse=int(equation.params['reverse']),
    )

  def _dot_general(self, equation):
    (by_a, by_b), (batch_a, batch_b) = equation.params['dimension_numbers']
    a, b = equation.invars
    free_a = [i for i in range(a.aval.ndim) if i not in (*by_a, *batch_a)]
    free_b = [i for i in range(b.aval.ndim) if i not in (*by_b, *batch_b)]
    sides = {v: v.aval.shape for v in (a, b)}
    batch = [sides[a][i] for i in batch_a]
    rows = [sides[a][i] for i in free_a]
    columns = [sides[b][i] for i in free_b]
    inner = int(np.prod([sides[a][i] for i in by_a]))
    left = self._shaped(
        self._ordered(a, (*batch_a, *free_a, *by_a)),
        (*batch, int(np.prod(rows)), inner),
    )
    right = self._shaped(
        self._ordered(b, (*batch_b, *by_b, *free_b)),
        (*batch, inner, int(np.prod(columns))),
    )
    y = self.node('MatMul', left, right)
    return self._shaped(y, (*batch, *rows, *columns))

  def _erfc(self, equation):
    (v,) = equation.invars
    return self.node('Sub', self._number(v, 1), self.node('Erf', self._name(v)))

  def _exp2(self, equation):
    (v,) = equation.invars
    return self.node('Pow', self._number(v, 2), self._name(v))

  def _expm1(self, equation):
    (v,) = equation.invars
    return self.node('Sub', self.node('Exp', self._name(v)), self._number(v, 1))

  def _gather(self, equation):
    operand, indices = map(self._name, equation.invars)
    shape = equation.invars[1].aval.shape[:-1]
    return self.node('Gather', operand, self._shaped(indices, shape), axis=0)

  def _integer_pow(self, equation):
    (v,), y = equation.invars, equation.params['y']
    return self.node('Pow', self._name(v), self._number(v, y))

  def _is_finite(self, equation):
    x = self._name(equation.invars[0])
    bad = self.node('Or', self.node('IsInf', x), self.node('IsNaN', x))
    return self.node('Not', bad)

  def _log1p(self, equation):
    (v,) = equation.invars
    return self.node('Log', self.node('Add', self._name(v), self._number(v, 1)))

  def _logical(self, equation):
    operator = LOGICAL[equation.primitive.name]
    if not _is_bool(equation.invars[0]):
      operator = f'Bitwise{operator}'
    return self.node(operator, *map(self._name, equation.invars))

  def _logistic(self, equation):
    (v,) = equation.invars
    if not self._takes_logarithms:
      return self.node('Sigmoid', self._name(v))
    # ONNX Runtime's Sigmoid is off by 2e-7, however small the result is, which
    # logarithms of probabilities enlarge.
    power = self.node('Exp', self.node('Neg', self._name(v)))
    return self.node('Reciprocal', self.node('Add', power, self._number(v, 1)))

  def _ne(self, equation):
    return self.node(
        'Not', self.node('Equal', *map(self._name, equation.invars))
    )

  def _pad(self, equation):
    v, value = equation.invars
    padding = equation.params['padding_config']
    if any(inside for *_, inside in padding):
      raise NotImplementedError('ONNX puts nothing between pixels.')
    x, shape = self._name(v), v.aval.shape
    if any(min(low, high) < 0 for low, high, _ in padding):
      starts = [max(-low, 0) for low, *_ in padding]
      ends = [
          side - max(-high, 0)
          for side, (_, high, _) in zip(shape, padding, strict=True)
      ]
      x = self.node('Slice', x, self._integers(starts), self._integers(ends))
    added = [[max(pad[end], 0) for pad in padding] for end in (0, 1)]
    if not any(map(any, added)):
      return x
    as_bool = _is_bool(v)
    x, value = x, self._name(value)
    if as_bool:
      x, value = self._cast(x, np.int32), self._cast(value, np.int32)
    x = self.node('Pad', x, self._integers(sum(added, [])), value)
    return self._cast(x, bool) if as_bool else x

  def _reduction(self, equation):
    (v,) = equation.invars
    x, as_bool = self._name(v), _is_bool(v)
    if as_bool:
      x = self._cast(x, np.int32)
    x = self.node(
        REDUCTIONS[equation.primitive.name],
        *(x, self._integers(equation.params['axes'])),
        keepdims=0,
    )
    return self._cast(x, bool) if as_bool else x

  def _reduce_precision(self, equation):
    return self._name(equation.invars[0])

  def _reduce_window_max(self, equation):
    return self._pooled(equation, 'MaxPool')

  def _reduce_window_sum(self, equation):
    window = equation.params['window_dimensions']
    mean = self._pooled(equation, 'AveragePool', count_include_pad=1)
    count = self._number(equation.invars[0], np.prod(window))
    return self.node('Mul', mean, count)

  def _pooled(self, equation, operator, **attributes):
    """Writes a pooling over two of the axes at most."""
    (v,), options = equation.invars, equation.params
    window, shape = options['window_dimensions'], list(v.aval.shape)
    strides, padding = options['window_strides'], options['padding']
    if set(options['base_dilation']) != {1}:
      raise NotImplementedError('ONNX pools no pixels with others between.')
    pooled = [
        i
        for i, side in enumerate(window)
        if side != 1 or strides[i] != 1 or any(padding[i])
    ]
    if not pooled:  # Windows of one pixel each.
      return self._name(v)
    others = [i for i in range(len(shape)) if i not in pooled]
    order = [*others, *pooled]
    x = self._ordered(v, order)
    inner = [shape[i] for i in pooled]
    x = self._shaped(x, [1, int(np.prod([shape[i] for i in others])), *inner])
    if operator == 'MaxPool' or set(options['window_dilation']) != {1}:
      attributes['dilations'] = [options['window_dilation'][i] for i in pooled]
    pads = [padding[i][end] for end in (0, 1) for i in pooled]
    y = self.node(
        operator,
        x,
        kernel_shape=[window[i] for i in pooled],
        strides=[strides[i] for i in pooled],
        pads=pads,
        **attributes,
    )
    after = equation.outvars[0].aval.shape
    y = self._shaped(y, [after[i] for i in order])
    return self.node('Transpose', y, perm=[int(i) for i in np.argsort(order)])

  def _rem(self, equation):
    return self.node('Mod', *map(self._name, equation.invars), fmod=1)

  def _reshape(self, equation):
    return self._shaped(
        self._name(equation.invars[0]), equation.params['new_sizes']
    )

  def _rev(self, equation):
    axes = list(equation.params['dimensions'])
    many = [np.iinfo(np.int64).min] * len(axes)
    bounds = [-1] * len(axes), many, axes, [-1] * len(axes)
    return self.node(
        'Slice', self._name(equation.invars[0]), *map(self._integers, bounds)
    )

  def _round(self, equation):
    (v,) = equation.invars
    x = self._name(v)
    if equation.params['rounding_method'].value == 1:
      return self.node('Round', x)
    away = self.node('Add', self.node('Abs', x), self._number(v, 0.5))
    return self.node('Mul', self.node('Sign', x), self.node('Floor', away))

  def _rsqrt(self, equation):
    root = self.node('Sqrt', self._name(equation.invars[0]))
    return self.node('Reciprocal', root)

  def _scatter(self, equation, **attributes):
    operand, indices, updates = map(self._name, equation.invars)
    return self.node(
        'ScatterND',
        *(operand, self._cast(indices, np.int64), updates),
        **attributes,
    )

  def _scatter_add(self, equation):
    return self._scatter(equation, reduction='add')

  def _select_n(self, equation):
    which, *cases = equation.invars
    if len(cases) != 2:
      raise NotImplementedError('A choice among more than two arrays.')
    name = self._name(which)
    if not _is_bool(which):
      name = self._cast(name, bool)
    no, yes = map(self._name, cases)
    return self.node('Where', name, yes, no)

  def _slice(self, equation):
    options, rank = equation.params, equation.invars[0].aval.ndim
    bounds = (
        options['start_indices'],
        options['limit_indices'],
        range(rank),
        options['strides'] or [1] * rank,
    )
    x = self._name(equation.invars[0])
    return self.node('Slice', x, *(self._integers(list(b)) for b in bounds))

  def _sort(self, equation):
    options = equation.params
    if options['num_keys'] != 1:
      raise NotImplementedError('Sorts by several keys.')
    axis = options['dimension']
    keys, *others = map(self._name, equation.invars)
    side = equation.invars[0].aval.shape[axis]
    # Of equal values it takes the lower index first, so it is stable.
    values, index = self.node(
        'TopK',
        *(keys, self._integers([side])),
        outputs=2,
        axis=axis,
        largest=0,
    )
    return [
        values,
        *(self.node('GatherElements', x, index, axis=axis) for x in others),
    ]

  def _split(self, equation):
    sizes = equation.params['sizes']
    return (
        self.node(
            'Split',
            *(self._name(equation.invars[0]), self._integers(list(sizes))),
            outputs=len(sizes),
            axis=equation.params['axis'],
        )
        if len(sizes) > 1
        else self._name(equation.invars[0])
    )

  def _square(self, equation):
    x = self._name(equation.invars[0])
    return self.node('Mul', x, x)

  def _squeeze(self, equation):
    return self._shaped(
        self._name(equation.invars[0]), equation.outvars[0].aval.shape
    )

  def _top_k(self, equation):
    values, index = self.node(
        'TopK',
        self._name(equation.invars[0]),
        self._integers([equation.params['k']]),
        outputs=2,
    )
    return [values, self._cast(index, equation.outvars[1].aval.dtype)]

  def _transpose(self, equation):
    return self._ordered(equation.invars[0], equation.params['permutation'])


def _is_bool(v):
  return np.issubdtype(v.aval.dtype, np.bool_)


def _described(name, aval):
  """Returns the description of an input or output."""
  kind = helper.np_dtype_to_tensor_dtype(np.dtype(aval.dtype))
  return helper.make_tensor_value_info(name, kind, aval.shape)
