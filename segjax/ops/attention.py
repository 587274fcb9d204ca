"""Scaled dot-product attention by chunks of queries."""

import math

import jax
import jax.numpy as jnp

# Number of scores, over all batches of a chunk, that are in memory at a time.
LARGEST = 2**23


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    scale: float = 1.0,
    largest: int = LARGEST,
) -> jax.Array:
  """Averages values by how well their keys match each query.

  The weights are a softmax of the products of a query with all keys. Scores and
  softmax are float32. Where the scores of all queries are more than `largest`,
  queries are worked through in chunks, and the backward pass computes the
  scores of a chunk a second time: no matrix [N, Q, K] is ever in memory.
  launch/speed.md has what this saves.

  Args:
    query: [N, Q, D], any float type.
    key: [N, K, D].
    value: [N, K, V].
    scale: factor of the scores, such as D ** -0.5.
    largest: number of scores of a chunk.

  Returns:
    [N, Q, V] in the type of `value`.

  References:
    Vaswani et al., Attention Is All You Need, 2017,
    https://arxiv.org/abs/1706.03762, section 3.2.1; Rabe and Staats,
    Self-attention Does Not Need O(n^2) Memory, 2021,
    https://arxiv.org/abs/2112.05682.
  """

  def attend(query):
    scores = _product('nqd,nkd->nqk', query, key) * scale
    weights = jax.nn.softmax(scores).astype(value.dtype)
    return _product('nqk,nkv->nqv', weights, value).astype(value.dtype)

  batch, number, depth = query.shape
  chunks = min(math.ceil(batch * number * key.shape[1] / largest), number)
  if chunks <= 1:
    return attend(query)
  rows = math.ceil(number / chunks)
  chunks = math.ceil(number / rows)
  padding = (0, 0), (0, chunks * rows - number), (0, 0)
  query = jnp.pad(query, padding).reshape(batch, chunks, rows, depth)
  y = jax.lax.map(jax.checkpoint(attend), query.swapaxes(0, 1))
  return y.swapaxes(0, 1).reshape(batch, chunks * rows, -1)[:, :number]


def _product(subscripts, *operands):
  """Returns an einsum that adds up in float32."""
  return jnp.einsum(subscripts, *operands, preferred_element_type=jnp.float32)
