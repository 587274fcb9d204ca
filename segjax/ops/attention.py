"""Scaled dot-product attention by chunks of queries, and within cells."""

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


def attention_in_cells(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    cells: int,
    *,
    scale: float = 1.0,
    largest: int = LARGEST,
) -> jax.Array:
  """Attends from each position of a map to those of its cell of a grid.

  A cell has H // `cells` rows and W // `cells` columns; the cells of the last
  row and column have what is left as well.

  Args:
    query: [B, H, W, D], any float type.
    key: [B, H, W, D].
    value: [B, H, W, V].
    cells: number of rows, and of columns, of the grid.
    scale: factor of the scores, such as D ** -0.5.
    largest: see `attention`.

  Returns:
    [B, H, W, V] in the type of `value`.

  References:
    Yuan et al., OCNet: Object Context Network for Scene Parsing, 2018,
    https://arxiv.org/abs/1809.00916, Pyramid-OC.
  """
  maps = query, key, value

  def attend(rows, columns):
    """Attends within cells of one size, all of them at once."""
    (top, height, m), (left, width, n) = rows, columns
    y = attention(
        *(
            x[:, top : top + m * height, left : left + n * width]
            .reshape(-1, m, height, n, width, x.shape[-1])
            .swapaxes(2, 3)
            .reshape(-1, height * width, x.shape[-1])
            for x in maps
        ),
        scale=scale,
        largest=largest,
    )
    return (
        y.reshape(-1, m, n, height, width, y.shape[-1])
        .swapaxes(2, 3)
        .reshape(-1, m * height, n * width, y.shape[-1])
    )

  rows, columns = (_equal_parts(n, cells) for n in query.shape[1:3])
  return jnp.concatenate(
      [
          jnp.concatenate([attend(row, column) for column in columns], 2)
          for row in rows
      ],
      1,
  )


def _equal_parts(length, parts):
  """Divides an axis into parts, of which the last has what is left.

  Returns:
    [(start, length of a part, number of parts), ...]: parts of equal length,
    one after another, and then the last part if it is longer.
  """
  step = length // parts
  last = length - step * (parts - 1)
  if last == step:
    return [(0, step, parts)]
  equal = [(0, step, parts - 1)] if step else []
  return [*equal, (length - last, last, 1)]


def _product(subscripts, *operands):
  """Returns an einsum that adds up in float32."""
  return jnp.einsum(subscripts, *operands, preferred_element_type=jnp.float32)
