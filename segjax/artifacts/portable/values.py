"""What a program is evaluated on: constants, traced arrays and products.

Constants are NumPy arrays, or keys of random numbers, which NumPy has not.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass
class Product:
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

  def scaled(self, factor: np.ndarray) -> 'Product':
    """Returns the product times a factor for each channel, [C]."""
    shape = [1] * self.weights.ndim
    shape[self.channel] = -1
    weights = self.weights * factor.reshape(shape)
    return dataclasses.replace(
        self, weights=weights, offset=self.offset * factor
    )

  def shifted(self, term: np.ndarray) -> 'Product':
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


def computed(value: Any) -> Any:
  """Returns a value that equations may be applied to: products are computed."""
  return value.value() if isinstance(value, Product) else value


def is_constant(value: Any) -> bool:
  """Returns whether a value is known while the program is rewritten."""
  return not isinstance(value, jax.core.Tracer | Product)


def as_constant(value: Any) -> Any:
  """Returns a known array as NumPy's; traced arrays and keys stay."""
  if isinstance(value, jax.core.Tracer):
    return value
  if isinstance(value, jax.Array) and jnp.issubdtype(
      value.dtype, jax.dtypes.prng_key
  ):
    return value
  return np.asarray(value)
