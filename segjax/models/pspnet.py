"""PSPNet, https://arxiv.org/abs/1612.01105.

Means over grids of 1x1 to 6x6 cells tell each pixel of a dilated network what
surrounds it. As mmsegmentation 1.2.2 builds it; the authors' own
(hszhao/semseg, and the Caffe network of the paper) is
`backbone='resnet/50_v1s', dilate_first=True, align_corners=True`, for images
whose sides are multiples of 8, plus 1. Checked against both.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.layers.psp import PyramidPooling
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, pyramid pooling, one 3x3 convolution, upsampling."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  output_stride: int = 8
  dilate_first: bool = False  # Of a ResNet.
  bins: tuple[int, ...] = (1, 2, 3, 6)
  features: int = 512
  align_corners: bool = False
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    fields = {'dilate_first': True} if self.dilate_first else {}
    feats = backbones.build(
        self.backbone,
        output_stride=self.output_stride,
        name='backbone',
        **fields,
    )(image, train)
    x = PyramidPooling(
        self.features, self.bins, self.align_corners, name='ppm'
    )(feats['c5'], train)
    x = ConvNormAct(self.features, name='fuse')(x, train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    logits = classifier(self.num_classes)(x)
    size, corners = image.shape[1:3], self.align_corners
    head = FCNHead(self.num_classes, self.dropout, name='aux')
    return {
        'logits': resize(logits, size, align_corners=corners),
        'aux': auxiliary(
            head, feats, self.aux_level, size, train, align_corners=corners
        ),
    }
