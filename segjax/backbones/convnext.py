"""ConvNeXt, https://arxiv.org/abs/2201.03545.

A convolutional network after the manner of Swin: patches, blocks of a depthwise
7x7 convolution and an MLP, layer norms, four resolutions. Rows and columns that
do not fill a patch of 4x4, or of 2x2 between stages, are cut off. Checked
against transformers 5.24.
"""

from flax import linen as nn
import numpy as np

from segjax.backbones.vit import dense
from segjax.backbones.vit import normal
from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.layers.dropout import drop_path
from segjax.layers.layer_scale import LayerScale
from segjax.layers.norm import layer_norm


class Block(nn.Module):
  """Adds a depthwise convolution and an MLP of its pixels; figure 4."""

  scale: float  # Factor of the branch in the beginning.
  drop_path: float  # Probability that an image skips the branch in training.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    channels = x.shape[-1]
    y = conv(
        channels, 7, groups=channels, bias=True, init=normal, name='depthwise'
    )(x)
    y = dense(4 * channels, name='expand')(layer_norm('norm')(y))
    y = dense(channels, name='reduce')(nn.gelu(y, approximate=False))
    y = LayerScale(self.scale, name='scale')(y)
    return x + drop_path(self.drop_path, train)(y)


class Backbone(nn.Module):
  """Four stages of blocks behind patches of 4x4 and of 2x2.

  'c2' to 'c5' are the outputs of the stages at strides 4, 8, 16 and 32, each
  after a norm of its own. As a classifier there are no such norms, but one
  before the classifier, as in the published ones.
  """

  widths: tuple[int, int, int, int]  # Channels of the stages.
  depths: tuple[int, int, int, int]  # Blocks of the stages.
  # Probability that an image skips the last block in training. It grows
  # linearly from 0 in the first block.
  drop_path: float = 0.4
  # Factor of the branches in the beginning; the paper trains from random
  # weights with 1e-6.
  scale: float = 1.0
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c2', 'c3', 'c4', 'c5')
  # Names of parameters by stage; all patches are in front of the first.
  stage_names = ('patches', 'stage1_', 'stage2_', 'stage3_', 'stage4_')

  @property
  def layer_names(self):
    """Names of parameters by layer: the first patches, and each block.

    Patches between stages are in the layer of the block behind them.
    """
    names = ['patches1']
    for i, depth in enumerate(self.depths, 1):
      blocks = [f'stage{i}_{j}/' for j in range(depth)]
      if i > 1:
        blocks[0] += f'|patches{i}'
      names += blocks
    return tuple(names)

  @nn.compact
  def __call__(self, image, train=False):
    x, feats = image, {}
    rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
    for i, (width, depth) in enumerate(
        zip(self.widths, self.depths, strict=True), 1
    ):
      side = 2 if i > 1 else 4
      if min(x.shape[1:3]) < side:
        raise ValueError(
            f'ConvNeXt takes images of 32x32 pixels at least, and this is'
            f' {image.shape[1]} x {image.shape[2]}: take larger crops, or pad'
            ' with config.predict.pad_to=32.'
        )
      if i > 1:
        x = layer_norm(f'patches{i}_norm')(x)
      x = conv(
          width,
          side,
          stride=side,
          padding=0,
          bias=True,
          init=normal,
          name=f'patches{i}',
      )(x)
      if i == 1:
        x = layer_norm('patches1_norm')(x)
      for j in range(depth):
        x = Block(self.scale, next(rates), name=f'stage{i}_{j}')(x, train)
      level = f'c{i + 1}'
      feats[level] = x if self.num_classes else layer_norm(f'norm{i}')(x)
    if self.num_classes:
      mean = layer_norm('norm')(x.mean((1, 2)))
      feats['class_logits'] = dense(self.num_classes, name='classifier')(mean)
    return feats


DEEP = (3, 3, 27, 3)
VARIANTS = {
    'mini': dict(widths=(16, 32, 48, 64), depths=(1, 1, 2, 1), drop_path=0.1),
    'tiny': dict(widths=(96, 192, 384, 768), depths=(3, 3, 9, 3)),
    'small': dict(widths=(96, 192, 384, 768), depths=DEEP, drop_path=0.3),
    'base': dict(widths=(128, 256, 512, 1024), depths=DEEP),
    'large': dict(widths=(192, 384, 768, 1536), depths=DEEP),
    'xlarge': dict(widths=(256, 512, 1024, 2048), depths=DEEP),
}
