"""ISANet, https://arxiv.org/abs/1907.12273.

Interlaced sparse self-attention: positions first attend to those at the same
place of every block of the map, then to those of their own block, so that each
reaches all others at a fraction of the cost. As mmsegmentation 1.2.2 builds it,
and checked against it; the authors' own (openseg-group/openseg.pytorch) has no
bias in the projection of values.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.attention import Attention
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class SelfAttention(nn.Module):
  """Attends within each map, and projects what is gathered."""

  key_features: int

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    y = Attention(self.key_features, features, depth=2, name='attention')(
        x, x, train
    )
    return ConvNormAct(features, kernel=1, name='project')(y, train)


class InterlacedAttention(nn.Module):
  """Attends over long distances, then within blocks of `block` x `block`.

  Maps are padded with zeros to whole blocks, on both sides alike. As in the
  original, padding takes part in attention and in the statistics of norms.
  """

  key_features: int
  block: int

  @nn.compact
  def __call__(self, x, train):
    batch, height, width, channels = x.shape
    side = self.block
    rows, columns = -(-height // side), -(-width // side)
    top, left = (rows * side - height) // 2, (columns * side - width) // 2
    padding = (
        (top, rows * side - height - top),
        (left, columns * side - width - left),
    )
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))

    # A group has the position (i, j) of each block: [B, i, j, rows, columns].
    x = x.reshape(batch, rows, side, columns, side, channels)
    x = x.transpose(0, 2, 4, 1, 3, 5)
    x = SelfAttention(self.key_features, name='distant')(
        x.reshape(-1, rows, columns, channels), train
    )

    # A group has the positions of one block: [B, rows, columns, i, j].
    x = x.reshape(batch, side, side, rows, columns, channels)
    x = x.transpose(0, 3, 4, 1, 2, 5)
    x = SelfAttention(self.key_features, name='local')(
        x.reshape(-1, side, side, channels), train
    )

    x = x.reshape(batch, rows, columns, side, side, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, rows * side, columns * side, channels)
    return x[:, top : top + height, left : left + width]


class Model(nn.Module):
  """Dilated backbone, one 3x3 convolution, interlaced self-attention."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  features: int = 512
  key_features: int = 256
  block: int = 8  # Rows and columns of the blocks that attend within.
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.
  aux_features: int = 0  # Channels of that head; 0: a quarter of the level's.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = ConvNormAct(self.features, name='reduce')(feats['c5'], train)
    y = InterlacedAttention(self.key_features, self.block, name='context')(
        x, train
    )
    x = jnp.concatenate([y, x], -1)
    x = ConvNormAct(self.features, kernel=1, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        feats=feats,
        aux_level=self.aux_level,
        aux_features=self.aux_features,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
