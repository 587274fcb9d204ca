"""MA-Net, https://doi.org/10.1109/ACCESS.2020.3025372.

Multi-scale attention for tumours of the liver: positions of the coarsest
features attend to each other, and each stage of a U-Net's decoder weights the
channels of what it enlarges by the means of that and of the skip. It follows
`MAnet` of segmentation_models_pytorch 0.6.0, which published weights are from
and against which it was checked. Two things there are unlike other attention,
and are kept:

- the softmax is over all pairs of positions of an image, not over those that a
  position attends to;
- what positions have gathered, [H * W, C], is read as [C, H, W] without being
  transposed, so that a channel has the numbers of several channels and places.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import remat
from segjax.layers.channel_attention import Excitation
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.decoder_block import DecoderBlock
from segjax.layers.head import xavier_classifier

LEVELS = (4, 3, 2, 1)  # That have a skip, from stride 16 to stride 2.


class PositionAttention(nn.Module):
  """Adds to each position what it gathers from all, and convolves."""

  features: int = 64  # Channels of queries and keys.

  @nn.compact
  def __call__(self, x):
    channels = x.shape[-1]
    key = conv(self.features, 1, bias=True, name='key')(x)
    query = conv(self.features, 1, bias=True, name='query')(x)
    value = conv(channels, bias=True, name='value')(x)
    gathered = reread(attend_over_pairs(query, key, value))
    return conv(channels, bias=True, name='output')(x + gathered)


def attend_over_pairs(
    query: jax.Array, key: jax.Array, value: jax.Array
) -> jax.Array:
  """Sums values with weights whose sum over all pairs of an image is 1.

  Args:
    query: [B, H, W, D].
    key: [B, H, W, D].
    value: [B, H, W, C].

  Returns:
    [B, H, W, C] in the type of `value`.
  """
  query, key, values = (
      x.reshape(len(x), -1, x.shape[-1]) for x in (query, key, value)
  )
  scores = jnp.einsum(
      'bqd,bkd->bqk', query, key, preferred_element_type=jnp.float32
  )
  weights = jax.nn.softmax(scores, (1, 2)).astype(value.dtype)
  return (weights @ values).reshape(value.shape)


def reread(x: jax.Array) -> jax.Array:
  """Returns the numbers of x [B, H, W, C], read as [B, C, H, W], in its shape.

  The first H * W numbers of an image, which are all channels of some places,
  become the first channel, and so on.
  """
  batch, height, width, channels = x.shape
  y = x.reshape(batch, channels, height * width).swapaxes(1, 2)
  return y.reshape(x.shape)


class FusionAttention(nn.Module):
  """Weights coarser features by their means and the skip's, and joins both."""

  features: int
  reduction: int = 16  # See `Excitation`.

  @remat.block
  @nn.compact
  def __call__(self, x, skip, train):
    x = ConvNormAct(x.shape[-1], name='refine')(x, train)
    x = ConvNormAct(skip.shape[-1], kernel=1, name='reduce')(x, train)
    # Enlarging repeats pixels, so it may come after the weights.
    x *= Excitation(self.reduction, name='weights')(x) + Excitation(
        self.reduction, name='skip_weights'
    )(skip)
    return DecoderBlock(self.features, name='join')(x, skip, skip, train)


class Model(nn.Module):
  """Backbone, attention of positions, and stages with weighted channels."""

  num_classes: int
  backbone: str = 'resnet/34'
  # Channels of the decoder stages, from stride 16 to the size of the image.
  features: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
  attention_features: int = 64  # Channels of queries and keys.
  reduction: int = 16  # See `Excitation`.

  @nn.compact
  def __call__(self, image, *, train=False):
    if len(self.features) != len(LEVELS) + 1:
      raise ValueError(
          f'features={self.features}: there are {len(LEVELS) + 1} enlargements,'
          ' from stride 16 to the size of the image; give one number for each.'
      )
    levels = ('c5', *(f'c{level}' for level in LEVELS))
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    x = PositionAttention(self.attention_features, name='attention')(
        feats['c5']
    )
    for level, features in zip(LEVELS, self.features, strict=False):
      x = FusionAttention(features, self.reduction, name=f'up{level}')(
          x, feats[f'c{level}'], train
      )
    x = DecoderBlock(self.features[-1], name='up0')(x, image, None, train)
    return {'logits': xavier_classifier(self.num_classes)(x), 'aux': {}}
