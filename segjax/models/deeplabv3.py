"""DeepLabv3, https://arxiv.org/abs/1706.05587.

Atrous convolution keeps the last stages of the backbone at its `output_stride`,
and ASPP convolves the result with several dilations (figure 5). The 3x3
convolution after ASPP is torchvision's; the paper has none, `fuse=False`. In
mmsegmentation ASPP's projection is a 3x3 convolution:
`features=512, image_first=True, project_kernel=3, fuse=False`. In
segmentation_models_pytorch dropout follows the projection: `rates=(12, 24, 36),
aspp_dropout=0.5, dropout=0.0, align_corners=True, aux_level=''` on
'resnet/34(output_stride=8, dilate_first=True)'. Checked against torchvision
0.28, mmsegmentation 1.2.2 and segmentation_models_pytorch 0.6.0.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.ops import points


class Model(nn.Module):
  """Dilated backbone, ASPP, one 3x3 convolution, bilinear upsampling."""

  num_classes: int
  backbone: str = 'resnet/50(output_stride=16)'
  rates: tuple[int, ...] = (6, 12, 18)  # Dilations of ASPP.
  features: int = 256
  # Whether ASPP concatenates the image's mean before the other branches.
  image_first: bool = False
  project_kernel: int = 1  # Kernel of the convolution that ends ASPP.
  aspp_dropout: float = 0.0  # Rate after ASPP.
  fuse: bool = True  # Whether a 3x3 convolution follows ASPP.
  dropout: float = 0.1
  align_corners: bool = False  # Of the last upsampling.
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        ('c5', self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = ASPP(
        self.features,
        self.rates,
        image_first=self.image_first,
        project_kernel=self.project_kernel,
        name='aspp',
    )(feats['c5'], train)
    x = nn.Dropout(self.aspp_dropout)(x, deterministic=not train)
    if self.fuse:
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


# That of the task, and of a point head if there is one.
loss = points.loss
