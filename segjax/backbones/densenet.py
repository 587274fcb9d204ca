"""DenseNet, https://arxiv.org/abs/1608.06993.

Each layer of a block reads the outputs of all layers before it. Checked against
torchvision 0.28 at output stride 32. The dilated form is DenseASPP's,
https://openaccess.thecvf.com/content_cvpr_2018/html/Yang_DenseASPP_for_Semantic_CVPR_2018_paper.html:
transitions do not pool, and the layers after them dilate. Every second pixel of
its features is not what the strided network has there, since that averages 2x2
pixels.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.ops.pool import max_pool


class DenseLayer(nn.Module):
  """Appends `growth` channels by a 1x1 and a 3x3 convolution after norms."""

  growth: int
  dilation: int = 1

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    y = nn.relu(norms.BatchNorm(train, name='norm')(x))
    y = ConvNormAct(4 * self.growth, kernel=1, name='conv1')(y, train)
    y = conv(self.growth, dilation=self.dilation, name='conv2')(y)
    return jnp.concatenate([x, y], -1)


class Transition(nn.Module):
  """Halves the number of channels and, if `pool`, the resolution."""

  pool: bool = True

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(norms.BatchNorm(train, name='norm')(x))
    x = conv(x.shape[-1] // 2, 1, name='conv')(x)
    return nn.avg_pool(x, (2, 2), (2, 2)) if self.pool else x


class Backbone(nn.Module):
  """A strided stem and four dense blocks.

  'c2' to 'c4' are the outputs of the first three blocks before their
  transition, without norm and activation; 'c5' is the last block's with both,
  the input of the classifier. With `halve`, as DenseASPP's code has it, a
  transition that keeps the resolution comes before them.
  """

  depths: tuple[int, int, int, int]  # Layers of each block.
  growth: int = 32  # Channels that a layer appends.
  stem: int = 64  # Channels of the stem.
  output_stride: int = 32
  halve: bool = False  # A last transition halves the channels of 'c5'.
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a DenseNet has 8, 16 or 32.'
      )
    x = ConvNormAct(self.stem, kernel=7, stride=2, name='stem')(image, train)
    feats = {'c1': x}
    x = max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
    total, dilation = 4, 1
    for block, depth in enumerate(self.depths, 1):
      if block > 1:
        pool = total < self.output_stride
        if pool:
          total *= 2
        else:
          dilation *= 2
        x = Transition(pool, name=f'transition{block - 1}')(x, train)
      for i in range(1, depth + 1):
        x = DenseLayer(self.growth, dilation, name=f'block{block}_{i}')(
            x, train
        )
      feats[f'c{block + 1}'] = x
    if self.halve:
      x = Transition(pool=False, name='transition4')(x, train)
    x = nn.relu(norms.BatchNorm(train, name='norm')(x))
    feats['c5'] = x
    if self.num_classes:
      feats['class_logits'] = nn.Dense(self.num_classes, name='classifier')(
          x.mean((1, 2))
      )
    return feats


VARIANTS = {
    'tiny': dict(depths=(2, 2, 2, 2), growth=8, stem=16),
    '121': dict(depths=(6, 12, 24, 16)),
    '161': dict(depths=(6, 12, 36, 24), growth=48, stem=96),
    '169': dict(depths=(6, 12, 32, 32)),
    '201': dict(depths=(6, 12, 48, 32)),
}
