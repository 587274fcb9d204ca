"""Residual encoding: a set of features as its differences from codewords."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.norm import BatchNorm


def _centred(radius):
  """Returns the initializer that draws evenly from -radius to radius."""
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(
      key, shape, dtype, -radius, radius
  )


def _negative(key, shape, dtype=jnp.float32):
  """Draws evenly from -1 to 0."""
  return jax.random.uniform(key, shape, dtype, -1.0, 0.0)


class Encoding(nn.Module):
  """Sums of the residuals of all pixels to each of K learnt codewords.

  Deep TEN, https://arxiv.org/abs/1612.02844. A pixel x counts for codeword k by
  the softmax over k of `scale[k] * |x - codewords[k]|**2`. A negative scale, as
  learnt ones are, favours codewords that are near.

  Neither the residuals, [B, H, W, K, D], nor their squares are computed one by
  one: `|x|**2 - 2 x c + |c|**2` and `sum(a x) - sum(a) c` are products of
  matrices. Such differences lose the digits that both sides share. Products are
  therefore summed in float32 whatever the type of the activations, and both
  sides are made of the same rounded values.
  """

  num_codewords: int = 32

  @nn.compact
  def __call__(self, x):
    """Returns the encoding [B, D, K] of features [B, H, W, D]."""
    shape = self.num_codewords, x.shape[-1]
    codewords = self.param(
        'codewords', _centred((shape[0] * shape[1]) ** -0.5), shape
    )
    scale = self.param('scale', _negative, shape[:1]).astype(jnp.float32)
    codewords = codewords.astype(x.dtype)
    exact = codewords.astype(jnp.float32)
    square = jnp.square(x.astype(jnp.float32)).sum(-1, keepdims=True)
    distance = square - 2 * _product('bhwd,kd->bhwk', x, codewords)
    distance = distance + jnp.square(exact).sum(-1)
    share = jax.nn.softmax(scale * distance).astype(x.dtype)
    total = _product('bhwd,bhwk->bdk', x, share)
    mass = share.astype(jnp.float32).sum((1, 2))
    return (total - mass[:, None] * exact.T).astype(x.dtype)


class ContextEncoding(nn.Module):
  """Gates channels by the mean over codewords of an image's encoding.

  EncNet, https://arxiv.org/abs/1803.08904, figure 3.
  """

  num_codewords: int

  @nn.compact
  def __call__(self, x, train):
    """Returns features like x [B, H, W, D] and the mean, [B, D]."""
    y = ConvNormAct(x.shape[-1], kernel=1, name='project')(x, train)
    y = Encoding(self.num_codewords, name='residuals')(y)
    context = nn.relu(BatchNorm(train, name='norm')(y)).mean(-1)
    gate = nn.sigmoid(nn.Dense(x.shape[-1], name='gate')(context))
    return nn.relu(x + x * gate[:, None, None]), context


def _product(subscripts, *operands):
  """Returns an einsum that is exact to float32."""
  return jnp.einsum(
      subscripts,
      *operands,
      precision=jax.lax.Precision.HIGHEST,
      preferred_element_type=jnp.float32,
  )
