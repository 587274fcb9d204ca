"""What becomes of each primitive of a program."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts.portable import control_flow
from segjax.artifacts.portable import indexing
from segjax.artifacts.portable import joining
from segjax.artifacts.portable import padding
from segjax.artifacts.portable import products
from segjax.artifacts.portable.interpreter import bind
from segjax.artifacts.portable.values import as_constant
from segjax.artifacts.portable.values import computed
from segjax.artifacts.portable.values import is_constant

COMPARISONS = ('eq', 'ne', 'lt', 'le', 'gt', 'ge')
# From an equation and its inputs to its one result.
REWRITTEN = {
    'concatenate': joining.concatenate,
    'conv_general_dilated': products.convolution,
    'cummax': joining.cumulative(jnp.maximum),
    'cummin': joining.cumulative(jnp.minimum),
    'cumprod': joining.cumulative(jnp.multiply),
    'cumsum': joining.cumulative(jnp.add),
    'dot_general': products.matrix_product,
    'dynamic_slice': indexing.dynamic_slice,
    'gather': indexing.gather,
    'pad': padding.pad,
    'select_n': joining.select,
    'stack': joining.stack,
    **dict.fromkeys(indexing.SCATTERS, indexing.scatter),
    **dict.fromkeys(COMPARISONS, joining.compare),
}
# Primitives that return what they are given.
SAME = ('optimization_barrier', 'copy', 'sharding_constraint', 'stop_gradient')
# Values of the largest constant that is stored where it could be computed.
LARGEST = 1 << 22


def apply(equation, inputs: Sequence) -> list:
  """Returns the results of an equation, rewritten where that is needed."""
  name = equation.primitive.name
  if name in SAME:
    return inputs
  results = control_flow.in_line(equation, inputs, apply)
  if results is not None:
    return results
  if all(map(is_constant, inputs)) and _is_small(equation, inputs):
    with jax.ensure_compile_time_eval():
      return list(map(as_constant, bind(equation, inputs)))
  if name in products.FOLDED:
    product = products.folded(name, inputs)
    if product is not None:
      return [product]
  inputs = list(map(computed, inputs))
  if name in REWRITTEN:
    return [REWRITTEN[name](equation, inputs)]
  return bind(equation, inputs)


def _is_small(equation, inputs):
  """Returns whether results may be stored: few, or no more than the inputs."""
  size = max((v.aval.size for v in equation.outvars), default=0)
  return size <= max(LARGEST, *(np.size(x) for x in inputs), 0)
