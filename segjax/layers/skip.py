"""The head of FCN, which sums scores of several levels of a VGG."""

from flax import linen as nn
import jax

from segjax.layers.head import classifier
from segjax.layers.upsample import upsample_scores

# First row and column of the image in the enlarged scores, by the stride of the
# finest scores. These and the offsets below follow from the 100 pixels of
# padding before the first convolution.
IMAGE_OFFSETS = {32: 19, 16: 27, 8: 31}
# First row and column, in scores of c4 and c3, of the enlarged coarser scores.
C4_OFFSET, C3_OFFSET = 5, 9


class SkipHead(nn.Module):
  """Sums class scores of VGG's 'fc7', 'c4' and 'c3' at the size of the image.

  FCN, https://arxiv.org/abs/1411.4038, figure 3, on a VGG with the fields
  `vgg.FCN`. Stride 32 uses 'fc7' alone, 16 adds 'c4', and 8 adds 'c3'. The
  classifiers of levels start at zero, so that a network with a finer level
  starts with the outputs of the coarser network whose weights it was given.
  """

  num_classes: int
  stride: int = 8  # Stride of the finest scores: 32, 16 or 8.
  scales: tuple[float, float] = (1.0, 1.0)  # Factors on features 'c4' and 'c3'.
  first_bias: bool = False  # Bias of the first upsampling; CRF-RNN has one.
  upsampling: str = 'transposed'  # See `layers.upsample`.

  reads = ('c3', 'c4', 'fc7')  # Levels of the VGG that a system must ask for.

  @nn.compact
  def __call__(self, feats, size):
    if self.stride not in IMAGE_OFFSETS:
      raise ValueError(f'stride={self.stride}: FCN has 32, 16 or 8.')
    x = self.score('fc7', feats['fc7'])
    if self.stride <= 16:
      x = upsample_scores(
          self.upsampling, 2, bias=self.first_bias, name='upsample_fc7'
      )(x)
      scores = self.score('c4', self.scales[0] * feats['c4'])
      x += crop(scores, C4_OFFSET, x.shape[1:3])
    if self.stride == 8:
      x = upsample_scores(self.upsampling, 2, name='upsample_c4')(x)
      scores = self.score('c3', self.scales[1] * feats['c3'])
      x += crop(scores, C3_OFFSET, x.shape[1:3])
    x = upsample_scores(self.upsampling, self.stride, name='upsample')(x)
    return crop(x, IMAGE_OFFSETS[self.stride], size)

  def score(self, level, feats):
    """Returns scores [B, h, w, K] of the features [B, h, w, C] of a level."""
    zeros = nn.initializers.zeros
    return classifier(self.num_classes, f'score_{level}', init=zeros)(feats)


def crop(x: jax.Array, offset: int, size: tuple[int, int]) -> jax.Array:
  """Returns `size` (height, width) of x [B, H, W, C] from pixel `offset` on."""
  height, width = size
  return x[:, offset : offset + height, offset : offset + width]
