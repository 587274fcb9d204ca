"""PAN, Pyramid Attention Network, https://arxiv.org/abs/1805.10180, narrow.

The paper leaves open how its pyramid of attention is made, and there are two
readings of it. This one is `PAN` of segmentation_models_pytorch 0.6.0, against
which it was checked: 32 channels from the coarsest level on, a pyramid that
pools, with one attention map for all channels, and bilinear enlarging. The
other one, `panet`, has a map for each channel, strided and transposed
convolutions, and scores for whole images. There, sides have to be multiples of
128 for three poolings without a rest; here any size fits, and a side of one
pixel is not pooled any more.
"""

import functools

from flax import linen as nn
import jax

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import xavier_classifier
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

KERNELS = (7, 5, 3)  # Of the pyramid, from the finest level to the coarsest.


class FeaturePyramidAttention(nn.Module):
  """Weights features by a pyramid of their context; figure 3.

  To the product of features and weights the mean over the image is added.
  """

  features: int

  @nn.compact
  def __call__(self, x, train):
    levels, y = [], x
    for i, kernel in enumerate(KERNELS, 1):
      y = biased_conv(1, kernel, name=f'down{i}')(pool(y), train)
      levels.append(biased_conv(1, kernel, name=f'level{i}')(y, train))
    weights = levels.pop()
    while levels:
      finer = levels.pop()
      weights = finer + enlarge(weights, finer)
    weights = enlarge(weights, x)
    master = biased_conv(self.features, 1, name='master')(x, train)
    mean = biased_conv(self.features, 1, name='mean')(
        x.mean((1, 2), keepdims=True), train
    )
    return weights * master + mean


class GlobalAttentionUpsample(nn.Module):
  """Adds finer features, gated by the mean of the coarser ones; figure 4."""

  @nn.compact
  def __call__(self, coarse, fine, train):
    """Returns [B, H, W, C].

    Args:
      coarse: [B, h, w, C], half as large or of the same size.
      fine: [B, H, W, D].
      train: whether norms take their statistics from the batch.
    """
    features = coarse.shape[-1]
    gate = biased_conv(features, 1, act=nn.sigmoid, name='gate')(
        coarse.mean((1, 2), keepdims=True), train
    )
    fine = biased_conv(features, name='fine')(fine, train)
    return enlarge(coarse, fine) + fine * gate


biased_conv = functools.partial(ConvNormAct, bias=True)


def pool(x: jax.Array) -> jax.Array:
  """Takes the maxima of 2x2 pixels; a side of one pixel stays."""
  window = tuple(min(side, 2) for side in x.shape[1:3])
  return max_pool(x, window, window)


def enlarge(x: jax.Array, like: jax.Array) -> jax.Array:
  """Interpolates x [B, h, w, C] to the height and width of another array."""
  return resize(x, like.shape[1:3], align_corners=True)


class Model(nn.Module):
  """Dilated backbone, pyramid attention, three attention upsamplings."""

  num_classes: int
  backbone: str = 'resnet/34(output_stride=16, dilate_first=True)'
  features: int = 32

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = ('c4', 'c3', 'c2')
    feats = backbones.build(self.backbone, ('c5', *levels), name='backbone')(
        image, train
    )
    x = FeaturePyramidAttention(self.features, name='pyramid')(
        feats['c5'], train
    )
    for level in levels:
      x = GlobalAttentionUpsample(name=f'upsample_{level}')(
          x, feats[level], train
      )
    logits = xavier_classifier(self.num_classes)(x)
    return {'logits': enlarge(logits, image), 'aux': {}}
