"""Concatenations, and what is written as such: stacks and running sums.

Selections and comparisons stand here too.
"""

from collections.abc import Callable
from collections.abc import Sequence
import itertools
from typing import Any

from jax import lax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts.portable.interpreter import bind

LONGEST = 64  # Side of the longest axis along which sums are written out.


def concatenate(equation, inputs: Sequence) -> Any:
  """Concatenates what has values: some runtimes have no empty arrays."""
  axis = equation.params['dimension']
  parts = [x for x in inputs if x.shape[axis]]
  if len(parts) < 2:
    return (parts or inputs)[0]
  return lax.concatenate(parts, axis)


def stack(equation, inputs: Sequence) -> Any:
  """Stacks arrays by a concatenation."""
  return stacked(inputs, equation.params['axis'])


def stacked(arrays: Sequence, axis: int) -> Any:
  """Returns arrays stacked along a new axis."""
  return lax.concatenate([lax.expand_dims(x, [axis]) for x in arrays], axis)


def cumulative(combine: Callable) -> Callable:
  """Returns a rule that writes out a cumulative operation along an axis.

  Args:
    combine: the operation on two arrays.
  """

  def rule(equation, inputs):
    (x,), options = inputs, equation.params
    axis, side = options['axis'], x.shape[options['axis']]
    if side > LONGEST:
      return bind(equation, inputs)[0]
    parts = [
        lax.slice_in_dim(x, i, i + 1, axis=axis)
        for i in (range(side)[::-1] if options['reverse'] else range(side))
    ]
    sums = list(itertools.accumulate(parts, combine))
    return lax.concatenate(sums[::-1] if options['reverse'] else sums, axis)

  return rule


def compare(equation, inputs: Sequence) -> Any:
  """Compares arrays of few axes and no short integers.

  TFLite takes short integers for quantised floats, and ends the process where
  they have no scale.
  """
  return _over_few_axes(equation, list(map(_long, inputs)))


def select(equation, inputs: Sequence) -> Any:
  """Selects among arrays of few axes and no short integers.

  TFLite selects among no others.
  """
  which, *cases = inputs
  y = _over_few_axes(equation, [which, *map(_long, cases)])
  return lax.convert_element_type(y, equation.outvars[0].aval.dtype)


def _long(x):
  """Returns integers of 32 bits for shorter ones."""
  short = np.issubdtype(x.dtype, np.integer) and x.dtype.itemsize < 4
  return lax.convert_element_type(x, np.int32) if short else x


def _over_few_axes(equation, inputs):
  """Applies an equation of single values to arrays of four axes at most."""
  shape = equation.outvars[0].aval.shape
  if len(shape) > 4:
    # A scalar selects, and is compared, as it is.
    inputs = [
        lax.reshape(jnp.broadcast_to(x, shape), (np.prod(shape),))
        if np.shape(x)
        else x
        for x in inputs
    ]
  return bind(equation, inputs)[0].reshape(shape)
