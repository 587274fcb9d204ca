"""PSPNet, https://arxiv.org/abs/1612.01105.

Pyramid pooling adds context to the features of a dilated network: their means
over grids of 1x1 to 6x6 cells. The defaults are mmsegmentation 1.2.2's. The
authors' network (hszhao/semseg, and Caffe for the paper) has
`align_corners=True` on 'resnet/50_v1s(output_stride=8, dilate_first=True)', for
images whose sides are multiples of 8, plus 1. CSAIL's for ADE20K
(CSAILVision/semantic-segmentation-pytorch, `ppm_deepsup`) has
`aux_features=512` on 'resnet/50_v1s(output_stride=8)'. Checked against all.
yassouali/pytorch-segmentation has `aux_features=512, align_pyramid=True` there.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.psp import PyramidPooling


class Model(nn.Module):
  """Dilated backbone, pyramid pooling, one 3x3 convolution, upsampling."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Rows and columns of the grids.
  features: int = 512
  align_corners: bool = False
  align_pyramid: bool = False  # The same where the pyramid is enlarged, alone.
  dropout: float = 0.1
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  aux_features: int = 0  # Channels in that head; 0: a quarter of the level's.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5', self.aux_level), name='backbone'
    )(image, train)
    x = PyramidPooling(
        self.features,
        self.bins,
        self.align_corners or self.align_pyramid,
        name='ppm',
    )(feats['c5'], train)
    x = ConvNormAct(self.features, name='fuse')(x, train)
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
    )
