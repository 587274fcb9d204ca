"""HRNet with its head for segmentation, https://arxiv.org/abs/1908.07919.

The backbone's branches at four resolutions are enlarged to the highest,
concatenated and classified (figure 4b). The defaults are the authors'
HRNet-Semantic-Segmentation, branch pytorch-v1.1; their branch HRNet-OCR has
`align_corners=True`, and mmsegmentation 1.2.2 has `fuse_bias=False` on
'hrnet/w48(resize_twice=True)'. Checked against the first and the last. The
authors call 'hrnet/w18_small' W18-Small-v2, and 'hrnet/w18_small_v1', whose
width is 16, W18-Small-v1.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs
from segjax.layers.levels import join_levels
from segjax.layers.point_head import level_of
from segjax.ops import points

LEVELS = ('c2', 'c3', 'c4', 'c5')


class Model(nn.Module):
  """HRNet, a 1x1 convolution over all branches, bilinear upsampling."""

  num_classes: int
  backbone: str = 'hrnet/w48'
  align_corners: bool = False
  fuse_bias: bool = True  # Bias of the 1x1 convolution.
  points: str = ''  # Point head, see `layers.point_head`; '' has none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        (*LEVELS, level_of(self.points)),
        align_corners=self.align_corners,
        name='backbone',
    )(image, train)
    x = join_levels(feats, LEVELS, align_corners=self.align_corners)
    x = ConvNormAct(x.shape[-1], kernel=1, bias=self.fuse_bias, name='fuse')(
        x, train
    )
    return segmentation_outputs(
        x,
        self.num_classes,
        image.shape[1:3],
        train,
        align_corners=self.align_corners,
        feats=feats,
        points=self.points,
    )


# That of the task, and of a point head if there is one.
loss = points.loss
