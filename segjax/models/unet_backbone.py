"""U-Net with a classification network as its contracting path.

The decoder of U-Net, https://arxiv.org/abs/1505.04597, figure 1, reads the
features of a backbone at strides 16 to 2. It enlarges by repeating pixels, and
goes on to the size of the image, where there is no skip. Checked against `Unet`
of segmentation_models_pytorch 0.6.0. When features are concatenated, enlarged
ones come first here, and the encoder's come first in `unet`.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import ResizeConvNormAct

LEVELS = (4, 3, 2, 1, 0)  # Levels to enlarge to; 0 is the image.


class Up(nn.Module):
  """Enlarges features, appends the skip, and applies two 3x3 convolutions."""

  features: int

  @remat.block
  @nn.compact
  def __call__(self, x, size, skip, train):
    x = ResizeConvNormAct(self.features, name='conv1')(x, skip, size, train)
    return ConvNormAct(self.features, name='conv2')(x, train)


class Model(nn.Module):
  """Backbone, and five upsampling stages with a skip in all but the last."""

  num_classes: int
  backbone: str = 'resnet/34'
  # Channels of the decoder stages, from stride 16 to the size of the image.
  features: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)

  @nn.compact
  def __call__(self, image, *, train=False):
    if len(self.features) != len(LEVELS):
      raise ValueError(
          f'features={self.features}: there are {len(LEVELS)} enlargements,'
          ' from stride 16 to the size of the image; give one number for each.'
      )
    skips = [f'c{level}' for level in LEVELS if level]
    feats = backbones.build(self.backbone, ('c5', *skips), name='backbone')(
        image, train
    )
    x = feats['c5']
    for level, features in zip(LEVELS, self.features, strict=True):
      skip = feats[f'c{level}'] if level else None
      size = (skip if level else image).shape[1:3]
      x = Up(features, name=f'up{level}')(x, size, skip, train)
    classifier = Conv(
        self.num_classes,
        (3, 3),
        kernel_init=nn.initializers.xavier_uniform(),
        name='classifier',
    )
    return {'logits': classifier(x), 'aux': {}}
