"""UPerNet, https://arxiv.org/abs/1807.10221.

Pyramid pooling tells the coarsest level of a backbone what surrounds it, a
feature pyramid carries that down to stride 4, and all levels together decide
(figure 4, the branch for objects and parts). As mmsegmentation 1.2.2 builds it,
against which it was checked: 1x1 convolutions of pyramid pooling come before
the enlarging, where the authors' come after, and they have neither dropout nor
an auxiliary head: `dropout=0.0, aux_level=''`.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.fpn import FPN
from segjax.layers.head import segmentation_outputs
from segjax.layers.psp import PyramidPooling
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4')  # That the pyramid reads below its top.


class Model(nn.Module):
  """Strided backbone, pyramid pooling on top, pyramid, fusion at stride 4."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  bins: tuple[int, ...] = (1, 2, 3, 6)
  features: int = 512
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, (*LEVELS, 'c5', self.aux_level), name='backbone'
    )(image, train)
    top = PyramidPooling(self.features, self.bins, name='ppm')(
        feats['c5'], train
    )
    top = ConvNormAct(self.features, name='top')(top, train)
    pyramid = FPN(
        self.features,
        norm=norms.BatchNorm,
        act=nn.relu,
        method='bilinear',
        name='fpn',
    )({level: feats[level] for level in LEVELS}, train, top)
    finest = pyramid['c2'].shape[1:3]
    x = [resize(level, finest) for level in (*pyramid.values(), top)]
    x = ConvNormAct(self.features, name='fuse')(jnp.concatenate(x, -1), train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
    )
