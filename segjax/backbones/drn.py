"""Dilated residual networks, https://arxiv.org/abs/1705.09914.

Two stages of a ResNet dilate instead of striding, so the features stay at
stride 8. Two further levels with dilations 2 and 1 remove the gridding
artefacts that dilated convolutions leave. Checked against fyu/drn.

The stages dilate from their first convolution on, unlike those of a dilated
ResNet. So subsampling the features does not give those of a strided network,
and there is no other output stride.
"""

from collections.abc import Callable

from flax import linen as nn

from segjax.backbones.resnet import BasicBlock
from segjax.backbones.resnet import Bottleneck
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier


class Backbone(nn.Module):
  """A stem and eight levels of convolutions.

  'c1' to 'c5' are the outputs of levels 2, 3, 4, 5 and 8.
  """

  block: Callable[..., nn.Module]
  depths: tuple[int, int, int, int]  # Residual blocks of levels 3 to 6.
  # Builds DRN-C instead of DRN-D: levels 1 and 2 are residual blocks and levels
  # 7 and 8 have two convolutions, where each of these is one convolution.
  arch_c: bool = False
  width: int = 16  # Channels of the stem.
  output_stride: int = 8
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride != 8:
      raise ValueError(f'output_stride={self.output_stride}: a DRN has 8.')
    first = BasicBlock if self.arch_c else ConvNormAct
    x = ConvNormAct(self.width, kernel=7, name='stem')(image, train)
    x = first(self.width, name='level1_0')(x, train)
    x = first(2 * self.width, stride=2, name='level2_0')(x, train)
    feats = {'c1': x}
    strides, dilations = (2, 2, 1, 1), (1, 1, 2, 4)
    for level, depth in enumerate(self.depths, 3):
      for i in range(depth):
        x = self.block(
            self.width * 2 ** (level - 1),
            stride=strides[level - 3] if i == 0 else 1,
            dilation=dilations[level - 3],
            name=f'level{level}_{i}',
        )(x, train)
      if level < 6:
        feats[f'c{level - 1}'] = x
    for level, dilation in ((7, 2), (8, 1)):
      for i in range(1, 3 if self.arch_c else 2):
        x = ConvNormAct(
            32 * self.width, dilation=dilation, name=f'level{level}_conv{i}'
        )(x, train)
    feats['c5'] = x
    if self.num_classes:
      mean = x.mean((1, 2), keepdims=True)
      feats['class_logits'] = classifier(self.num_classes)(mean)[:, 0, 0]
    return feats


VARIANTS = {
    'tiny': dict(block=BasicBlock, depths=(1, 1, 1, 1), width=4),
    'c_26': dict(block=BasicBlock, depths=(2, 2, 2, 2), arch_c=True),
    'c_42': dict(block=BasicBlock, depths=(3, 4, 6, 3), arch_c=True),
    'd_22': dict(block=BasicBlock, depths=(2, 2, 2, 2)),
    'd_38': dict(block=BasicBlock, depths=(3, 4, 6, 3)),
    'd_54': dict(block=Bottleneck, depths=(3, 4, 6, 3)),
    'd_105': dict(block=Bottleneck, depths=(3, 4, 23, 3)),
}
