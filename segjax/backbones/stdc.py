"""STDC networks, https://arxiv.org/abs/2104.13188.

Short-term dense concatenation: a module concatenates the outputs of its
convolutions, each of which has half the channels of the one before. Checked
against mmsegmentation 1.2.2.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.ops.pool import avg_pool


class Module(nn.Module):
  """Applies a 1x1 and three 3x3 convolutions, and concatenates all outputs.

  Figure 3, b and c. With stride 2 a depthwise convolution subsamples what the
  first 3x3 convolution reads, and pooling what is concatenated.
  """

  features: int
  stride: int

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    width = self.features // 2
    x = ConvNormAct(width, kernel=1, name='conv1')(x, train)
    outputs = [x]
    if self.stride > 1:
      outputs = [avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))]
      x = ConvNormAct(
          width, stride=2, groups=width, act=None, name='depthwise'
      )(x, train)
    for i, share in ((2, 4), (3, 8), (4, 8)):
      x = ConvNormAct(self.features // share, name=f'conv{i}')(x, train)
      outputs.append(x)
    return jnp.concatenate(outputs, -1)


class Backbone(nn.Module):
  """Two strided convolutions and three stages of modules; table 2."""

  depths: tuple[int, int, int]  # Modules of the stages.
  width: int = 64  # Channels at stride 4.

  levels = ('c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    x = ConvNormAct(self.width // 2, stride=2, name='stem1')(image, train)
    feats = {'c1': x}
    x = ConvNormAct(self.width, stride=2, name='stem2')(x, train)
    feats['c2'] = x
    for level, depth in enumerate(self.depths, 3):
      for i in range(depth):
        x = Module(
            self.width * 2 ** (level - 1),
            stride=2 if i == 0 else 1,
            name=f'stage{level}_{i}',
        )(x, train)
      feats[f'c{level}'] = x
    return feats


VARIANTS = {
    'tiny': dict(depths=(1, 1, 1), width=8),
    '1': dict(depths=(2, 2, 2)),
    '2': dict(depths=(4, 5, 3)),
}
