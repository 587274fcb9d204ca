"""SegResNet, a SegNet on a ResNet: https://arxiv.org/abs/1511.00561.

The decoder mirrors a ResNet, block by block, and unpools to the positions of
the maxima in the stem's pool, the only one that a ResNet has. It is from
yassouali/pytorch-segmentation, against which it was checked. Sides that are no
multiples of 32 work too, while the original needs multiples.
"""

from flax import linen as nn

from segjax import backbones
from segjax.backbones.resnet import Bottleneck
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.norm import BatchNorm
from segjax.layers.upsample import upsample
from segjax.ops.unpool import overlapping_positions
from segjax.ops.unpool import unpool_overlapping


class DecoderBottleneck(nn.Module):
  """Adds three convolutions to a projection, and may double the size."""

  features: int
  up: bool  # Whether transposed convolutions double the size.
  upsampling: str  # See `Model`.

  @nn.compact
  def __call__(self, x, train):
    width = x.shape[-1] // 4
    y = ConvNormAct(width, kernel=1, name='conv1')(x, train)
    if self.up:
      y = upsample(self.upsampling, width, name='up')(y)
      y = nn.relu(BatchNorm(train, name='up_norm')(y))
      x = upsample(self.upsampling, self.features, name='shortcut_up')(x)
      x = BatchNorm(train, name='shortcut_norm')(x)
    else:
      y = ConvNormAct(width, name='conv2')(y, train)
      x = ConvNormAct(self.features, kernel=1, act=None, name='shortcut')(
          x, train
      )
    y = ConvNormAct(self.features, kernel=1, act=None, name='conv3')(y, train)
    return nn.relu(x + y)


class Model(nn.Module):
  """ResNet, its mirror image, unpooling, a transposed convolution."""

  num_classes: int
  backbone: str = 'resnet/50'
  depths: tuple[int, int, int, int] = (3, 4, 6, 3)  # Blocks, as the backbone's.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    levels = ('c1', 'c2', 'c3', 'c4', 'c5')
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    x = feats['c5']
    for level in (5, 4, 3, 2):
      for i in range(self.depths[level - 2] - 1):
        x = Bottleneck(x.shape[-1] // 4, name=f'decoder{level}_{i}')(x, train)
      finer = feats[f'c{level - 1}']
      x = DecoderBottleneck(
          finer.shape[-1],
          level > 2,
          self.upsampling,
          name=f'decoder{level}_last',
      )(x, train)
    stem = feats['c1']
    positions = overlapping_positions(stem)
    top, left = (
        (old - new) // 2
        for old, new in zip(x.shape[1:3], positions.shape[1:3], strict=True)
    )
    rows, columns = positions.shape[1:3]
    x = x[:, top : top + rows, left : left + columns]
    x = unpool_overlapping(x, positions, stem.shape[1:3])
    x = upsample(self.upsampling, x.shape[-1], name='up')(x)
    logits = conv(self.num_classes, bias=True, name='classifier')(x)
    height, width = image.shape[1:3]
    return {'logits': logits[:, :height, :width], 'aux': {}}
