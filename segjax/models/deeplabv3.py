"""DeepLabv3, https://arxiv.org/abs/1706.05587.

Atrous convolution keeps the last stages of the backbone at its `output_stride`,
and ASPP looks at the result at several rates (figure 5). The 3x3 convolution
after ASPP is torchvision's; the paper goes from ASPP straight to the
classifier: `fuse=False`. mmsegmentation projects by a 3x3 convolution instead:
`features=512, image_first=True, project_kernel=3, fuse=False`.
Checked against torchvision 0.28 and mmsegmentation 1.2.2.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import segmentation_outputs


class Model(nn.Module):
  """Dilated backbone, ASPP, one 3x3 convolution, bilinear upsampling."""

  num_classes: int
  backbone: str = 'resnet/50(output_stride=16)'
  rates: tuple[int, ...] = (6, 12, 18)
  features: int = 256
  image_first: bool = False  # In the concatenation of ASPP.
  project_kernel: int = 1
  fuse: bool = True
  dropout: float = 0.1
  aux_level: str = 'c4'  # That an auxiliary head is on; '': there is none.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone, ('c5', self.aux_level), name='backbone'
    )(image, train)
    x = ASPP(
        self.features,
        self.rates,
        image_first=self.image_first,
        project_kernel=self.project_kernel,
        name='aspp',
    )(feats['c5'], train)
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
    )
