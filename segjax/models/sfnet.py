"""SFNet, semantic flow, https://arxiv.org/abs/2002.10120.

A feature pyramid that does not enlarge a coarse level blindly: from the two
levels a flow is predicted along which the coarse one is warped. As its authors'
code has it (lxtGH/SFSegNets), against which it was checked. Theirs on ResNet-50
and deeper has `backbone='resnet/50_sfnet', features=256`. Their plain
checkpoints were trained without auxiliary heads, `aux_heads=False`; the
variants of SFNet-Lite are other networks.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import FCNHead
from segjax.layers.head import segmentation_outputs
from segjax.layers.psp import PyramidPooling
from segjax.ops.points import warp
from segjax.ops.resize import resize

LEVELS = ('c2', 'c3', 'c4')  # What is aligned with the level above.


class FlowAlignment(nn.Module):
  """Warps a coarse level to the size of a finer one; figure 3b."""

  features: int  # Of what the flow is predicted from, of each level.

  @nn.compact
  def __call__(self, fine, coarse):
    above = conv(self.features, 1, name='coarse')(coarse)
    above = resize(above, fine.shape[1:3], align_corners=True)
    beside = conv(self.features, 1, name='fine')(fine)
    flow = conv(2, name='flow')(jnp.concatenate([above, beside], -1))
    return warp(coarse, flow)


class Model(nn.Module):
  """Backbone, pooled pyramid, three flow alignments and a fusion at stride 4.

  The auxiliary heads read the sums of the three levels.
  """

  num_classes: int
  backbone: str = 'resnet/18_sfnet'
  features: int = 128  # Of the pyramid.
  aux_heads: bool = True
  dropout: float = 0.1  # Of whole channels.

  @nn.compact
  def __call__(self, image, *, train=False):
    size, width = image.shape[1:3], self.features
    feats = backbones.build(self.backbone, (*LEVELS, 'c5'), name='backbone')(
        image, train
    )
    x = PyramidPooling(
        width, align_corners=True, act=None, features_last=True, name='ppm'
    )(feats['c5'], train)
    x = ConvNormAct(width, kernel=1, name='context')(x, train)
    x = nn.Dropout(self.dropout, (1, 2))(x, deterministic=not train)
    pyramid, aux = [x], {}
    for level in reversed(LEVELS):
      fine = ConvNormAct(width, kernel=1, bias=True, name=f'lateral_{level}')(
          feats[level], train
      )
      x = fine + FlowAlignment(width // 2, name=f'align_{level}')(fine, x)
      pyramid.append(ConvNormAct(width, name=f'output_{level}')(x, train))
      if self.aux_heads:
        head = FCNHead(
            self.num_classes,
            self.dropout,
            width,
            functools.partial(ConvNormAct, bias=True),
            dropout_dims=(1, 2),
            name=f'aux_{level}',
        )
        aux[level] = resize(head(x, train), size, align_corners=True)
    finest = pyramid[-1].shape[1:3]
    fused = [resize(y, finest, align_corners=True) for y in reversed(pyramid)]
    x = ConvNormAct(width, name='fuse')(jnp.concatenate(fused, -1), train)
    outputs = segmentation_outputs(
        x, self.num_classes, size, train, align_corners=True
    )
    return {**outputs, 'aux': aux}
