"""U-Net with a classification network as its contracting path.

The decoder of U-Net, https://arxiv.org/abs/1505.04597, figure 1, reads the
features of a backbone at strides 16 to 2. It enlarges by repeating pixels, and
goes on to the size of the image, where there is no skip. With `scse='sum'` it
weights channels and places before and after the convolutions of each stage,
https://arxiv.org/abs/1803.02579. Checked against `Unet` of
segmentation_models_pytorch 0.6.0, with and without scSE. When features are
concatenated, enlarged ones come first here, and the encoder's come first in
`unet`.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.decoder_block import DecoderBlock
from segjax.layers.head import xavier_classifier

LEVELS = (4, 3, 2, 1, 0)  # Levels to enlarge to; 0 is the image.


class Model(nn.Module):
  """Backbone, and five upsampling stages with a skip in all but the last."""

  num_classes: int
  backbone: str = 'resnet/34'
  # Channels of the decoder stages, from stride 16 to the size of the image.
  features: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
  scse: str = ''  # 'sum' or 'max', see `SCSE`; '' has none.
  reduction: int = 16  # Of scSE; the paper's is 2.

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
      x = DecoderBlock(features, self.scse, self.reduction, name=f'up{level}')(
          x, skip if level else image, skip, train
      )
    return {'logits': xavier_classifier(self.num_classes)(x), 'aux': {}}
