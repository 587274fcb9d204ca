"""ResNet-38 for segmentation, https://arxiv.org/abs/1611.10080.

"Wider or Deeper": a shallow network of very wide residual units
(`segjax/backbones/resnet38.py`) at stride 8 and two dilated convolutions, the
paper's "2 conv." classifier. Checked against Model A1 of the authors' code
(itijyou/ademxapp), which ends with scores at stride 8; here they are
interpolated between the pixels where they lie.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import conv
from segjax.ops.upsample_aligned import upsample_aligned


class Model(nn.Module):
  """ResNet-38, a dilated convolution with ReLU, and a dilated classifier."""

  num_classes: int
  backbone: str = 'resnet38/a1(output_stride=8, dropout=(0.3, 0.5))'
  features: int = 512
  dilation: int = 12  # Of both convolutions of the head.

  @nn.compact
  def __call__(self, image, *, train=False):
    backbone = backbones.build(self.backbone, ('c5',), name='backbone')
    x = backbone(image, train)['c5']
    x = nn.relu(self._conv(self.features, 'fuse')(x))
    x = self._conv(self.num_classes, 'classifier')(x)
    logits = upsample_aligned(x, backbone.output_stride, image.shape[1:3])
    return {'logits': logits, 'aux': {}}

  def _conv(self, features, name):
    return conv(features, dilation=self.dilation, bias=True, name=name)
