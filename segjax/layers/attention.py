"""Attention from the positions of one map of features to those of another."""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.ops.attention import attention
from segjax.ops.pool import adaptive_avg_pool


class Projection(nn.Module):
  """Applies 1x1 convolutions, each with batch norm and ReLU."""

  features: int
  depth: int = 1  # Number of convolutions.

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.depth):
      x = ConvNormAct(self.features, kernel=1, name=f'conv{i}')(x, train)
    return x


class Attention(nn.Module):
  """Gathers values from positions whose keys match the query of a position.

  Queries and keys have `features` channels, and scores are divided by the
  square root of that number. Queries are projected from one map, keys and
  values from another or the same one. The map of scores is never in memory as a
  whole, see `ops.attention`.
  """

  features: int
  value_features: int
  depth: int = 1  # Number of convolutions of queries, and of keys.
  shared: bool = False  # Whether queries and keys have the same convolutions.
  # Rows and columns of grids over which keys and values are averaged, as in
  # https://arxiv.org/abs/1908.07678; () keeps every position.
  bins: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, x, source, train):
    """Returns what positions of x [B, H, W, C] gather from `source`.

    Args:
      x: the map of the queries.
      source: the map of keys and values, [B, h, w, S].
      train: whether norms take their statistics from the batch.

    Returns:
      [B, H, W, value_features].
    """
    query = Projection(self.features, self.depth, name='query')
    if self.shared:
      key = query
    else:
      key = Projection(self.features, self.depth, name='key')
    value = conv(self.value_features, 1, bias=True, name='value')
    y = attention(
        _positions(query(x, train)),
        self._pooled(key(source, train)),
        self._pooled(value(source)),
        scale=self.features**-0.5,
    )
    return y.reshape(*x.shape[:-1], self.value_features)

  def _pooled(self, x):
    """Returns positions, or cells of all grids one after another: [B, K, C]."""
    if not self.bins:
      return _positions(x)
    grids = [adaptive_avg_pool(x, (rows, rows)) for rows in self.bins]
    return jnp.concatenate([_positions(grid) for grid in grids], 1)


class ResidualAttention(nn.Module):
  """Adds to each position what it gathers from others of its map.

  What is gathered is multiplied by a number `gamma` that is learnt and starts
  at 0, so that the layer starts as the identity, as in SAGAN,
  https://arxiv.org/abs/1805.08318, section 3. Scores are not scaled.
  """

  features: int  # Channels of queries and keys; values have those of the map.
  # Averages values [B, H, W, V] by how well keys match queries [B, H, W, D].
  attend: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

  @nn.compact
  def __call__(self, x):
    query = conv(self.features, 1, bias=True, name='query')(x)
    key = conv(self.features, 1, bias=True, name='key')(x)
    value = conv(x.shape[-1], 1, bias=True, name='value')(x)
    gamma = self.param('gamma', nn.initializers.zeros, ())
    return gamma.astype(x.dtype) * self.attend(query, key, value) + x


def attend_everywhere(
    query: jax.Array, key: jax.Array, value: jax.Array
) -> jax.Array:
  """Averages the values of all positions, for a `ResidualAttention`.

  Args:
    query: [B, H, W, D].
    key: [B, H, W, D].
    value: [B, H, W, V].

  Returns:
    [B, H, W, V].
  """
  y = attention(_positions(query), _positions(key), _positions(value))
  return y.reshape(value.shape)


def _positions(x):
  """Flattens a map [B, H, W, C] row by row, to [B, H * W, C]."""
  return x.reshape(len(x), -1, x.shape[-1])
