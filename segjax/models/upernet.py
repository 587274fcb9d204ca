"""UPerNet, https://arxiv.org/abs/1807.10221.

Pyramid pooling adds context to the coarsest level of a backbone, a feature
pyramid passes it on to the levels up to stride 4, and all levels together are
classified (figure 4, the branch for objects and parts). This is the network of
mmsegmentation 1.2.2, against which it was checked. The authors' code differs:
it enlarges the pooled features before their 1x1 convolutions, and has neither
dropout nor an auxiliary head: `enlarge_first=True, dropout=0.0, aux_level=''`
on 'resnet/50_v1s'. It was checked against that too, and against transformers
5.24 on Swin and ConvNeXt, backbones of today: 'swin/tiny', 'convnext/tiny'.
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

LEVELS = ('c2', 'c3', 'c4')  # Levels of the pyramid below the coarsest, 'c5'.


class Model(nn.Module):
  """Backbone, pyramid pooling, feature pyramid, and fusion at stride 4."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Grids of pyramid pooling.
  features: int = 512
  enlarge_first: bool = False  # See `PyramidPooling`.
  dropout: float = 0.1
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  aux_features: int = 0  # Its channels; 0: a quarter of the level's.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, (*LEVELS, 'c5', self.aux_level), name='backbone'
    )(image, train)
    top = PyramidPooling(
        self.features,
        self.bins,
        enlarge_first=self.enlarge_first,
        name='ppm',
    )(feats['c5'], train)
    top = ConvNormAct(self.features, name='top')(top, train)
    pyramid = FPN(
        self.features,
        norm=norms.BatchNorm,
        act=nn.relu,
        method='bilinear',
        name='fpn',
    )({level: feats[level] for level in LEVELS}, train, top)
    finest = pyramid['c2'].shape[1:3]
    levels = [resize(level, finest) for level in (*pyramid.values(), top)]
    x = jnp.concatenate(levels, -1)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        aux_features=self.aux_features,
    )
