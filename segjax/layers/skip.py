"""The head of FCN: coarse scores are enlarged and meet finer ones."""

from flax import linen as nn

from segjax.layers.head import classifier
from segjax.layers.upsample import Upsample

# Where the image begins in what is enlarged at last, by the stride of the
# finest scores, and where coarser scores begin in finer ones. All follow from
# 100 pixels of padding before the first convolution of a VGG.
IMAGE_OFFSETS = {32: 19, 16: 27, 8: 31}
C4_OFFSET, C3_OFFSET = 5, 9


class SkipHead(nn.Module):
  """Scores of 'fc7', joined by those of 'c4' and, at stride 8, of 'c3'.

  FCN, https://arxiv.org/abs/1411.4038, figure 3, on a VGG with the fields
  `vgg.FCN`. Scorers begin at zero, so that a network with a finer level begins
  as the coarser one that it is trained from.
  """

  num_classes: int
  stride: int = 8  # Of the finest scores: 32, 16 or 8.
  scales: tuple[float, float] = (1.0, 1.0)  # Of 'c4' and 'c3'.
  first_bias: bool = False  # Of the first upsampling; CRF-RNN's has one.

  reads = ('c3', 'c4', 'fc7')  # Levels of the VGG.

  @nn.compact
  def __call__(self, feats, size):
    if self.stride not in IMAGE_OFFSETS:
      raise ValueError(f'stride={self.stride}: FCN has 32, 16 or 8.')
    x = self.score('fc7', feats['fc7'])
    if self.stride <= 16:
      x = Upsample(2, bias=self.first_bias, name='upsample_fc7')(x)
      scores = self.score('c4', self.scales[0] * feats['c4'])
      x += crop(scores, C4_OFFSET, x.shape[1:3])
    if self.stride == 8:
      x = Upsample(2, name='upsample_c4')(x)
      scores = self.score('c3', self.scales[1] * feats['c3'])
      x += crop(scores, C3_OFFSET, x.shape[1:3])
    x = Upsample(self.stride, name='upsample')(x)
    return crop(x, IMAGE_OFFSETS[self.stride], size)

  def score(self, level, feats):
    return classifier(self.num_classes, f'score_{level}', std=0.0)(feats)


def crop(x, offset, size):
  """Returns `size` (height, width) of [B, H, W, C] from `offset` on."""
  height, width = size
  return x[:, offset : offset + height, offset : offset + width]
