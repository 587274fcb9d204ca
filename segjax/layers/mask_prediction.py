"""What the mask transformers of the DeepLab line share.

MaX-DeepLab, https://arxiv.org/abs/2012.00759, and kMaX-DeepLab,
https://arxiv.org/abs/2207.04044: a number of queries, which are called memory
or mask slots too, predict a class and a mask each. Layers over queries are 1x1
convolutions, here dense layers, with batch norms over all queries of a batch.
"""

from collections.abc import Callable
import math

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct


class DenseNormAct(nn.Module):
  """Applies a dense layer without a bias, a norm and an activation."""

  features: int
  norm: Callable[..., nn.Module] = norms.BatchNorm
  act: Callable | None = nn.relu

  @nn.compact
  def __call__(self, x, train):
    x = nn.Dense(self.features, use_bias=False, name='dense')(x)
    x = self.norm(train, name='norm')(x)
    return self.act(x) if self.act else x


class NormedAttention(nn.Module):
  """Attends with norms of scores and of results, instead of a scaling.

  The scores of each head have a batch norm over all pairs, and so have the
  results, which are activated.
  """

  heads: int = 8
  norm: Callable[..., nn.Module] = norms.BatchNorm
  act: Callable = nn.relu

  @nn.compact
  def __call__(self, query, key, value, train):
    """Returns [B, Q, V].

    Args:
      query: [B, Q, D].
      key: [B, N, D].
      value: [B, N, V].
      train: whether norms take their statistics from the batch.
    """
    query, key, value = (
        x.reshape(*x.shape[:2], self.heads, -1) for x in (query, key, value)
    )
    scores = jnp.einsum('bqhd,bkhd->bqkh', query, key)
    scores = self.norm(train, name='similarity_norm')(scores)
    weights = jax.nn.softmax(scores.astype(jnp.float32), 2).astype(value.dtype)
    found = jnp.einsum('bqkh,bkhd->bqhd', weights, value)
    found = found.reshape(*found.shape[:2], -1)
    return self.act(self.norm(train, name='output_norm')(found))


class Predictor(nn.Module):
  """Predicts classes of queries, and masks as products with pixels.

  The features of pixels are normalised to a length of 1. All masks share a
  batch norm of one channel.
  """

  num_classes: int
  features: int = 256
  depth: int = 128  # Of what is multiplied.
  norm: Callable[..., nn.Module] = norms.BatchNorm
  act: Callable = nn.relu

  @nn.compact
  def __call__(self, pixels, mask_queries, class_queries, train):
    """Returns class logits, mask logits and the features of pixels.

    Args:
      pixels: [B, h, w, C].
      mask_queries: [B, Q, D].
      class_queries: [B, Q, D].
      train: whether norms take their statistics from the batch.

    Returns:
      [B, Q, K + 1], the last one for no segment; [B, h, w, Q]; and [B, h, w,
      depth].
    """
    x = SeparableConvNormAct(
        self.features,
        kernel=5,
        norm=self.norm,
        depthwise_act=self.act,
        act=self.act,
        name='pixel',
    )(pixels, train)
    x = ConvNormAct(
        self.depth,
        kernel=1,
        bias=True,
        norm=self.norm,
        act=None,
        name='pixel_embedding',
    )(x, train)
    x = unit(x)
    kernels = DenseNormAct(
        self.depth, norm=self.norm, act=None, name='mask_embedding'
    )(mask_queries, train)
    masks = jnp.einsum('bhwc,bqc->bhwq', x, kernels)
    mask_norm = self.norm(
        train, scale_init=nn.initializers.constant(0.1), name='mask_norm'
    )
    masks = mask_norm(masks[..., None])[..., 0]
    classes = nn.Dense(
        self.num_classes + 1,
        kernel_init=nn.initializers.truncated_normal(0.01),
        name='classifier',
    )(class_queries)
    # So that a query is of no segment with a probability of 0.9 at first.
    void = jnp.zeros(self.num_classes + 1, classes.dtype)
    void = void.at[-1].set(math.log(self.num_classes * 0.9 / 0.1))
    return classes + void, masks, x


def unit(x: jax.Array) -> jax.Array:
  """Returns vectors of length 1 in the direction of the last axis of x."""
  square = jnp.square(x.astype(jnp.float32)).sum(-1, keepdims=True)
  return (x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))).astype(x.dtype)
