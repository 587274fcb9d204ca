"""Convolutions and matrix products, and norms that become a part of them."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts.portable.interpreter import bind
from segjax.artifacts.portable.padding import stuffed
from segjax.artifacts.portable.values import Product
from segjax.artifacts.portable.values import is_constant

# [B, H, W, C], kernels [H, W, C, O].
LAYOUT = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
FOLDED = ('add', 'sub', 'mul', 'div', 'neg')


def folded(name: str, inputs: Sequence) -> Product | None:
  """Returns a product with an operation on its channels folded into it.

  Args:
    name: of the primitive, one of `FOLDED`.
    inputs: of the equation.

  Returns:
    The product; None if none is combined with a constant for each channel.
  """
  if name == 'neg':
    (x,) = inputs
    return x.scaled(-np.ones_like(x.offset)) if type(x) is Product else None
  first, second = inputs
  if type(first) is Product and is_constant(second):
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
  if type(second) is Product and is_constant(first) and name != 'div':
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


def convolution(equation, inputs: Sequence) -> Any:
  """Returns a convolution over [B, H, W, C], a product if it is by weights."""
  (x, kernel), options = inputs, equation.params
  spec = options['dimension_numbers']
  if x.ndim != 4 or options['batch_group_count'] != 1:
    return bind(equation, inputs)[0]
  x = _transposed(x, [spec.lhs_spec[i] for i in (0, 2, 3, 1)])
  kernel = _transposed(kernel, [spec.rhs_spec[i] for i in (2, 3, 1, 0)])
  rows, columns = options['lhs_dilation']
  x = stuffed(stuffed(x, 1, rows), 2, columns)
  padding = options['padding']
  if min(min(pad) for pad in padding) < 0:
    cut = [(min(a, 0), min(b, 0), 0) for a, b in padding]
    x = lax.pad(x, np.float32(0), [(0, 0, 0), *cut, (0, 0, 0)])
    padding = tuple((max(a, 0), max(b, 0)) for a, b in padding)
  canonical = options | dict(
      dimension_numbers=LAYOUT, lhs_dilation=(1, 1), padding=padding
  )

  def compute(kernel):
    return lax.conv_general_dilated_p.bind(x, jnp.asarray(kernel), **canonical)

  back = np.argsort([spec.out_spec[i] for i in (0, 2, 3, 1)])
  if not is_constant(kernel) or list(back) != [0, 1, 2, 3]:
    return _transposed(compute(kernel), back)
  shape = jax.eval_shape(compute, kernel).shape
  offset = np.zeros(shape[-1], kernel.dtype)
  return Product(compute, kernel, 3, 3, shape, offset)


def matrix_product(equation, inputs: Sequence) -> Any:
  """Returns a matrix product, one that may be scaled if it is by weights."""
  x, weights = inputs
  (_, of_weights), (batch, _) = equation.params['dimension_numbers']
  free = [i for i in range(weights.ndim) if i not in of_weights]

  def compute(weights):
    return bind(equation, [x, jnp.asarray(weights)])[0]

  if batch or len(free) != 1 or not is_constant(weights) or not x.ndim:
    return bind(equation, inputs)[0]
  shape = equation.outvars[0].aval.shape
  offset = np.zeros(shape[-1], weights.dtype)
  return Product(compute, weights, free[0], len(shape) - 1, shape, offset)


def _transposed(x, order):
  """Transposes a constant at once, and other arrays if they change."""
  order = tuple(int(i) for i in order)
  if order == tuple(range(x.ndim)):
    return x
  return np.transpose(x, order) if is_constant(x) else lax.transpose(x, order)
