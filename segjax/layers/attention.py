"""Attention from the positions of one map of features to those of another."""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.ops.attention import attention
from segjax.ops.attention import attention_in_cells
from segjax.ops.pool import adaptive_avg_pool


class Projection(nn.Module):
  """Applies 1x1 convolutions, each with batch norm and ReLU by default."""

  features: int
  depth: int = 1  # Number of convolutions.
  conv: Callable[..., nn.Module] = ConvNormAct  # With norm and activation.

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.depth):
      x = self.conv(self.features, kernel=1, name=f'conv{i}')(x, train)
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
  # Number of convolutions of values, each with batch norm and ReLU; 0: a single
  # one with a bias and neither.
  value_depth: int = 0
  shared: bool = False  # Whether queries and keys have the same convolutions.
  # Rows and columns of grids over which keys and values are averaged, as in
  # https://arxiv.org/abs/1908.07678; () keeps every position.
  bins: tuple[int, ...] = ()
  # Rows and columns of a grid within whose cells positions attend, see
  # `ops.attention_in_cells`; both maps have one size then. 1: to all.
  cells: int = 1
  conv: Callable[..., nn.Module] = ConvNormAct  # Of queries and keys.

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
    query = Projection(self.features, self.depth, self.conv, name='query')
    if self.shared:
      key = query
    else:
      key = Projection(self.features, self.depth, self.conv, name='key')
    if self.value_depth:
      projection = Projection(
          self.value_features, self.value_depth, self.conv, name='value'
      )
      value = projection(source, train)
    else:
      value = conv(self.value_features, 1, bias=True, name='value')(source)
    maps = query(x, train), key(source, train), value
    scale = self.features**-0.5
    if self.cells > 1:
      return attention_in_cells(*maps, self.cells, scale=scale)
    queries, *sources = maps
    y = attention(_positions(queries), *map(self._pooled, sources), scale=scale)
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
