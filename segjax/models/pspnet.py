"""PSPNet, https://arxiv.org/abs/1612.01105.

Pyramid pooling adds context to the features of a dilated network: their means
over grids of 1x1 to 6x6 cells. The defaults are mmsegmentation 1.2.2's. The
authors' network (hszhao/semseg, and Caffe for the paper) has
`align_corners=True` on 'resnet/50_v1s(output_stride=8, dilate_first=True)', for
images whose sides are multiples of 8, plus 1. CSAIL's for ADE20K
(CSAILVision/semantic-segmentation-pytorch, `ppm_deepsup`) has
`aux_features=512` on 'resnet/50_v1s(output_stride=8)'.
segmentation_models_pytorch's pools a level of stride 8 without dilation:
`level='c3', pool_features=32, plain_mean=True, fuse_kernel=1,
classifier_kernel=3, align_corners=True, dropout=0.2, drop_channels=True,
aux_level=''` on 'resnet/34', where 32 is a quarter of the channels of 'c3'.
Checked against all. yassouali/pytorch-segmentation has `aux_features=512,
align_pyramid=True` on 'resnet/50_v1s(output_stride=8)'.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.point_head import level_of
from segjax.layers.psp import PyramidPooling
from segjax.ops import points


class Model(nn.Module):
  """Dilated backbone, pyramid pooling, one 3x3 convolution, upsampling."""

  num_classes: int
  backbone: str = 'resnet/50_v1c(output_stride=8)'
  level: str = 'c5'  # Level that is pooled.
  bins: tuple[int, ...] = (1, 2, 3, 6)  # Rows and columns of the grids.
  features: int = 512
  pool_features: int = 0  # Channels of each grid; 0: `features`.
  plain_mean: bool = False  # See `PyramidPooling`.
  fuse_kernel: int = 3  # Of the convolution after pooling.
  classifier_kernel: int = 1
  align_corners: bool = False
  align_pyramid: bool = False  # The same where the pyramid is enlarged, alone.
  dropout: float = 0.1
  drop_channels: bool = False  # Whole ones; else single numbers.
  aux_level: str = 'c4'  # Level of the auxiliary head; '' omits it.
  aux_features: int = 0  # Channels in that head; 0: a quarter of the level's.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        (self.level, self.aux_level, level_of(self.points)),
        name='backbone',
    )(image, train)
    x = PyramidPooling(
        self.pool_features or self.features,
        self.bins,
        self.align_corners or self.align_pyramid,
        plain_mean=self.plain_mean,
        name='ppm',
    )(feats[self.level], train)
    x = ConvNormAct(self.features, self.fuse_kernel, name='fuse')(x, train)
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        dropout=self.dropout,
        dropout_dims=(1, 2) if self.drop_channels else (),
        kernel=self.classifier_kernel,
        feats=feats,
        aux_level=self.aux_level,
        aux_features=self.aux_features,
        align_corners=self.align_corners,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
