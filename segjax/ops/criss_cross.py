"""Attention of each position to its own row and column."""

import jax
import jax.numpy as jnp


def criss_cross_attention(
    query: jax.Array, key: jax.Array, value: jax.Array
) -> jax.Array:
  """Averages the values of a position's column and row.

  The weights are one softmax over the products of the query with the H keys of
  its column and the W keys of its row. The position itself counts once, in the
  row. Scores and softmax are float32, and there are H * W * (H + W) of them,
  not (H * W) ** 2.

  Args:
    query: [B, H, W, D], any float type.
    key: [B, H, W, D].
    value: [B, H, W, V].

  Returns:
    [B, H, W, V] in the type of `value`.

  References:
    Huang et al., CCNet: Criss-Cross Attention for Semantic Segmentation, 2019,
    https://arxiv.org/abs/1811.11721, section 3.2.
  """
  height = query.shape[1]
  column = _product('bhwd,bgwd->bhwg', query, key)
  itself = jnp.eye(height, dtype=bool)[:, None]
  column = jnp.where(itself, -jnp.inf, column)
  row = _product('bhwd,bhvd->bhwv', query, key)
  weights = jax.nn.softmax(jnp.concatenate([column, row], -1))
  column, row = jnp.split(weights.astype(value.dtype), [height], -1)
  y = _product('bhwg,bgwc->bhwc', column, value)
  return (y + _product('bhwv,bhvc->bhwc', row, value)).astype(value.dtype)


def _product(subscripts, *operands):
  """Returns an einsum that adds up in float32."""
  return jnp.einsum(subscripts, *operands, preferred_element_type=jnp.float32)
