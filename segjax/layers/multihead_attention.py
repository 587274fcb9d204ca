"""Multi-head attention from one set of tokens to another."""

from flax import linen as nn
import jax


class MultiHeadAttention(nn.Module):
  """Averages values by how well their keys match each query, in each head.

  https://arxiv.org/abs/1706.03762, section 3.2.2.
  """

  heads: int

  @nn.compact
  def __call__(self, query, key, value, mask=None):
    """Returns [B, Q, C].

    Args:
      query: [B, Q, C].
      key: [B, K, D].
      value: [B, K, E].
      mask: [B, Q, K], which keys each query attends to; None: all.
    """
    width = query.shape[-1]
    init = nn.initializers.xavier_uniform()
    heads = (
        nn.Dense(width, kernel_init=init, name=name)(x).reshape(
            *x.shape[:2], self.heads, -1
        )
        for name, x in (('query', query), ('key', key), ('value', value))
    )
    y = jax.nn.dot_product_attention(
        *heads, mask=None if mask is None else mask[:, None]
    )
    return nn.Dense(width, kernel_init=init, name='out')(y.reshape(query.shape))
