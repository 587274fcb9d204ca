"""Padding, with what every runtime has: at borders, of numbers that exist."""

from collections.abc import Sequence
from typing import Any

from jax import lax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts.portable.interpreter import bind


def pad(equation, inputs: Sequence) -> Any:
  """Pads at the borders alone, and cuts off where that is negative."""
  x, value = inputs
  borders = equation.params['padding_config']
  for axis, (_, _, inside) in enumerate(borders):
    x = stuffed(x, axis, inside + 1, value)
  return lax.pad(x, value, [(low, high, 0) for low, high, _ in borders])


def stuffed(x: Any, axis: int, step: int, value: Any = 0) -> Any:
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


def without_infinity(equation, inputs: Sequence) -> list:
  """Returns the results of an equation; maxima need no infinite padding.

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
    return bind(equation, inputs)
  (x,) = inputs
  for axis, (low, high) in enumerate(options['padding']):
    first = lax.slice_in_dim(x, 0, 1, axis=axis)
    last = lax.slice_in_dim(x, x.shape[axis] - 1, x.shape[axis], axis=axis)
    if low or high:
      x = lax.concatenate([first] * low + [x] + [last] * high, axis)
  unpadded = options | dict(padding=((0, 0),) * len(options['padding']))
  return [equation.primitive.bind(x, **unpadded)]
