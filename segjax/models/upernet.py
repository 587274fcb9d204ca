"""UPerNet, https://arxiv.org/abs/1807.10221.

Pyramid pooling adds context to the coarsest level of a backbone, a feature
pyramid passes it on to the levels up to stride 4, and all levels together are
classified (figure 4, the branch for objects and parts). This is the network of
mmsegmentation 1.2.2, against which it was checked. The authors' code differs:
it enlarges the pooled features before their 1x1 convolutions, and has neither
dropout nor an auxiliary head: `enlarge_first=True, dropout=0.0, aux_level=''`
on 'resnet/50_v1s'. segmentation_models_pytorch normalises the levels of the
backbone first, each position by its channels: `features=256, norm_levels=True,
dropout=0.0, align_corners=True, aux_level=''` on 'resnet/34'. It was checked
against both, and against transformers 5.24 on Swin and ConvNeXt, backbones of
today: 'swin/tiny', 'convnext/tiny'.

That of yassouali/pytorch-segmentation has a pyramid of its own, `shared=True,
features=256, bins=(1, 2, 4, 6), aux_level=''` on 'resnet/101(output_stride=16,
dilate_first=True)'. It is written after that code, and was not compared.
"""

import itertools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.dropout import channel_dropout
from segjax.layers.fpn import FPN
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.layers.psp import PyramidPooling
from segjax.ops import points
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4')  # Levels of the pyramid below the coarsest, 'c5'.


class SharedPyramid(nn.Module):
  """Adds to each level the one above it, and smooths all sums alike.

  One 3x3 convolution smooths all of them. A sum is not passed on: what is added
  to a level is the 1x1 convolution of the next. The finest level has none, so
  it needs as many channels as the pyramid has.
  """

  features: int

  @nn.compact
  def __call__(self, feats):
    """Returns levels [B, h, w, features] of {level: features}, finest first."""
    finest, *others = feats
    channels = feats[finest].shape[-1]
    if channels != self.features:
      raise ValueError(
          f'features={self.features}: the finest level, {finest}, has'
          f' {channels} channels, so a shared pyramid has as many.'
      )
    levels = [feats[finest]] + [
        conv(self.features, 1, bias=True, name=f'lateral_{level}')(feats[level])
        for level in others
    ]
    smooth = conv(self.features, bias=True, name='smooth')
    sums = [
        smooth(fine + resize(coarse, fine.shape[1:3], align_corners=True))
        for fine, coarse in itertools.pairwise(levels)
    ]
    return [*sums, levels[-1]]


class Model(nn.Module):
  """Backbone, pyramid pooling, feature pyramid, and fusion at stride 4."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  norm_levels: bool = False  # Whether layer norms precede all else.
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Grids of pyramid pooling.
  features: int = 512
  enlarge_first: bool = False  # See `PyramidPooling`.
  shared: bool = False  # Has a `SharedPyramid`, and no auxiliary head.
  dropout: float = 0.1
  align_corners: bool = False  # Of the last upsampling.
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  aux_features: int = 0  # Its channels; 0: a quarter of the level's.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        (*LEVELS, 'c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    if self.shared:
      if self.points:
        raise ValueError(
            f'points={self.points!r}: the network with a shared pyramid has no'
            " point head; set points='' or shared=False."
        )
      logits = self._shared(feats, train)
      return {'logits': resize(logits, image.shape[1:3]), 'aux': {}}
    levels = {level: feats[level] for level in (*LEVELS, 'c5')}
    if self.norm_levels:
      levels = {
          level: norms.layer_norm(f'norm_{level}')(x)
          for level, x in levels.items()
      }
    top = PyramidPooling(
        self.features,
        self.bins,
        enlarge_first=self.enlarge_first,
        name='ppm',
    )(levels.pop('c5'), train)
    top = ConvNormAct(self.features, name='top')(top, train)
    pyramid = FPN(
        self.features,
        norm=norms.BatchNorm,
        act=nn.relu,
        method='bilinear',
        name='fpn',
    )(levels, train, top)
    finest = pyramid['c2'].shape[1:3]
    x = jnp.concatenate(
        [resize(level, finest) for level in (*pyramid.values(), top)], -1
    )
    x = ConvNormAct(self.features, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=self.align_corners,
        aux_features=self.aux_features,
        points=self.points,
    )

  def _shared(self, feats, train):
    """Returns scores [B, h, w, K] of the network with a shared pyramid."""
    channels = feats['c5'].shape[-1]
    top = PyramidPooling(channels // 4, self.bins, True, name='ppm')(
        feats['c5'], train
    )
    top = ConvNormAct(channels, name='top')(top, train)
    top = channel_dropout(self.dropout, train)(top)
    levels = SharedPyramid(self.features, name='pyramid')(
        {**{level: feats[level] for level in LEVELS}, 'c5': top}
    )
    finest = levels[0].shape[1:3]
    x = jnp.concatenate(
        [resize(level, finest, align_corners=True) for level in levels], -1
    )
    x = ConvNormAct(self.features, name='fuse')(x, train)
    return conv(self.num_classes, bias=True, name='classifier')(x)


# That of the task, and of a point head if there is one.
loss = points.loss
