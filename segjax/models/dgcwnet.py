"""DGCWNet, https://arxiv.org/abs/2004.12679, a reconstruction.

Distance guided channel weighting: before a position looks for others that are
like it, its channels are weighted by how far its values are from those of all
positions, so that channels that tell it apart count more. This is a
reconstruction: the authors published neither code nor weights, the paper's
equations were not at hand, and all but the idea, which its abstract describes,
is a reading of ours. Checked against a PyTorch network built from the same
reading, which shows that both are the same, not that they are the paper's.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.attention import attend_everywhere
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class ChannelWeights(nn.Module):
  """Weighs channels of each position by distances, from 0 to 1.

  The distance of a position in a channel is the mean over all positions j of
  `(x - x[j]) ** 2`.
  """

  features: int  # Number of weights.

  @nn.compact
  def __call__(self, x, train):
    distances = squared_distances(x)
    hidden = ConvNormAct(self.features // 2, kernel=1, name='reduce')(
        distances, train
    )
    return nn.sigmoid(conv(self.features, 1, bias=True, name='expand')(hidden))


class DistanceGuidedAttention(nn.Module):
  """Adds what positions gather where queries have weighted channels."""

  key_features: int

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    weights = ChannelWeights(self.key_features, name='weights')(x, train)
    query = conv(self.key_features, 1, bias=True, name='query')(x)
    key = conv(self.key_features, 1, bias=True, name='key')(x)
    value = conv(features, 1, bias=True, name='value')(x)
    scale = self.key_features**-0.5
    y = attend_everywhere(weights * query * scale, key, value)
    y = ConvNormAct(features, kernel=1, act=None, name='project')(y, train)
    return nn.relu(x + y)


class Model(nn.Module):
  """Dilated backbone, distance guided attention, two convolutions."""

  num_classes: int
  backbone: str = 'resnet/50_v1s(output_stride=8)'
  features: int = 512
  key_features: int = 256
  align_corners: bool = True  # As in the code of its backbone.
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
    y = DistanceGuidedAttention(self.key_features, name='attention')(x, train)
    x = jnp.concatenate([y, x], -1)
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
        points=self.points,
    )


def squared_distances(x):
  """Returns the mean squared distance of each value from those of its channel.

  Over all positions of an image, it is the square of the distance from the mean
  plus the variance, so pairs of positions are not computed.

  Args:
    x: [B, H, W, C]; the arithmetic is float32.

  Returns:
    [B, H, W, C] in the type of `x`.
  """
  wide = x.astype(jnp.float32)
  squares = jnp.square(wide - wide.mean((1, 2), keepdims=True))
  return (squares + squares.mean((1, 2), keepdims=True)).astype(x.dtype)


# That of the task, and of a point head if there is one.
loss = points.loss
