"""Attention U-Net, https://arxiv.org/abs/1804.03999.

Before the skips of a U-Net join the decoder, gates weight their places by what
the decoder has seen so far (figures 1 and 2). The paper segments volumes; this
is the network for images. There are two gates:

- `gate='additive'` is that of the widely used port to images,
  LeeJunHyun/Image_Segmentation, against whose network it was checked: the
  gating features are the enlarged ones, the three layers have norms, and all
  four skips are gated.
- `gate='grid'` is that of the paper and of the authors' code,
  ozan-oktay/Attention-Gated-Networks, against whose gate for images it was
  checked: the gating features are the coarser ones, before they are enlarged,
  weights are made at half the size of the skip and enlarged, a convolution
  with a norm follows, and the finest skip is not gated. Encoder and decoder
  are those of the port.

The code of both wants sides that are multiples of 16; here any size fits.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import ResizeConvNormAct
from segjax.layers.conv import conv
from segjax.layers.double_conv import DoubleConv
from segjax.layers.head import classifier
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

LEVELS = 5
biased_conv = functools.partial(ConvNormAct, bias=True)


class AdditiveGate(nn.Module):
  """Weights the places of a skip by features of the same size."""

  features: int  # Channels that skip and gating features are added in.

  @nn.compact
  def __call__(self, skip, gating, train):
    """Returns the weighted skip, [B, H, W, C].

    Args:
      skip: [B, H, W, C].
      gating: [B, H, W, D].
      train: whether norms take their statistics from the batch.
    """

    def layer(features, act, name):
      return biased_conv(features, kernel=1, act=act, name=name)

    total = layer(self.features, None, 'gating')(gating, train)
    total += layer(self.features, None, 'skip')(skip, train)
    return skip * layer(1, nn.sigmoid, 'weights')(nn.relu(total), train)


class GridWeights(nn.Module):
  """Computes weights for the places of a skip from coarser features."""

  features: int  # Channels that skip and gating features are added in.

  @nn.compact
  def __call__(self, skip, gating):
    """Returns [B, H, W, 1].

    Args:
      skip: [B, H, W, C].
      gating: [B, h, w, D], of any size.
    """
    total = conv(self.features, 2, stride=2, padding=0, name='skip')(skip)
    gating = conv(self.features, 1, bias=True, name='gating')(gating)
    total = nn.relu(total + resize(gating, total.shape[1:3]))
    scores = conv(1, 1, bias=True, name='weights')(total)
    return resize(nn.sigmoid(scores), skip.shape[1:3])


class GridGate(nn.Module):
  """Weights the places of a skip by coarser features, and convolves it."""

  features: int  # See `GridWeights`.

  @nn.compact
  def __call__(self, skip, gating, train):
    """Returns [B, H, W, C]; see `GridWeights`."""
    weighted = skip * GridWeights(self.features, name='weights')(skip, gating)
    return biased_conv(skip.shape[-1], kernel=1, act=None, name='output')(
        weighted, train
    )


class Model(nn.Module):
  """U-Net with four poolings, whose skips are gated."""

  num_classes: int
  width: int = 64  # Channels of the first level; they double with each.
  gate: str = 'additive'  # Or 'grid', see above.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.gate not in ('additive', 'grid'):
      raise ValueError(
          f'There is no gate {self.gate!r}. Known: additive, grid.'
      )
    x, skips = image, []
    for level in range(LEVELS):
      if level:
        x = max_pool(x, (2, 2), (2, 2))
      features = self.width * 2**level
      x = DoubleConv(features, biased_conv, name=f'down{level}')(x, train)
      skips.append(x)
    for level in reversed(range(LEVELS - 1)):
      coarse, skip = x, skips[level]
      features = skip.shape[-1]
      x = ResizeConvNormAct(features, bias=True, name=f'enlarge{level}')(
          coarse, None, skip.shape[1:3], train
      )
      if self.gate == 'additive':
        skip = AdditiveGate(features // 2, name=f'gate{level}')(skip, x, train)
      elif level:
        skip = GridGate(features, name=f'gate{level}')(skip, coarse, train)
      x = jnp.concatenate([skip, x], -1)
      x = DoubleConv(features, biased_conv, name=f'up{level}')(x, train)
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}
