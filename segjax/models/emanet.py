"""EMANet, https://arxiv.org/abs/1907.13426.

Expectation-maximisation fits a few bases to the features of an image, and the
features that are rebuilt from them are free of noise. As mmsegmentation 1.2.2
builds it; the authors' own (XiaLiPKU/EMANet) has `unit_mean=False, join=False,
align_corners=True, aux_level=''` on
'resnet/50_v1s(output_stride=8, multi_grid=(0, 2, 4))'. Checked against both.

The convolution 'unit/project' stays as it is drawn: no gradient reaches it, and
the config takes it out of the decay of weights.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.em_attention import EMAttention
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class EMAUnit(nn.Module):
  """Adds features that are rebuilt from bases, between two convolutions."""

  num_bases: int
  steps: int
  momentum: float
  unit_mean: bool

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    y = conv(features, 1, bias=True, name='project')(x)
    y, _ = EMAttention(
        self.num_bases,
        self.steps,
        self.momentum,
        self.unit_mean,
        name='attention',
    )(y, train)
    y = ConvNormAct(features, kernel=1, act=None, name='rebuilt')(
        nn.relu(y), train
    )
    return nn.relu(x + y)


class Model(nn.Module):
  """Dilated backbone, expectation-maximisation attention, convolutions."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  num_bases: int = 64
  steps: int = 3  # Of expectation and maximisation.
  momentum: float = 0.9  # Of the bases that all images begin with.
  unit_mean: bool = True  # See `layers.em_attention`.
  join: bool = True  # Joins the last level again before the classifier.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = ConvNormAct(self.features, name='reduce')(feats['c5'], train)
    x = EMAUnit(
        self.num_bases, self.steps, self.momentum, self.unit_mean, name='unit'
    )(x, train)
    x = ConvNormAct(self.features // 2, name='bottleneck')(x, train)
    if self.join:
      x = jnp.concatenate([feats['c5'], x], -1)
      x = ConvNormAct(self.features // 2, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
