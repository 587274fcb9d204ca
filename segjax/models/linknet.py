"""LinkNet, https://arxiv.org/abs/1707.03718.

Decoder stages narrow features, enlarge them by a transposed convolution and
widen them again, and the encoder's features of the same size are added, not
concatenated (figures 1 and 3). There are two networks of this name:

- `variant='paper'` is the authors' (e-lab/pytorch-linknet): transposed
  convolutions are 3x3, the last stage stays at stride 4, where it is added to
  the pooled features of the stem, and three more layers enlarge to the size of
  the image. It was built from their code.
- `variant='smp'` is `Linknet` of segmentation_models_pytorch 0.6.0, against
  which it was checked: transposed convolutions are 4x4, the fourth stage is
  added to the features of the stem before pooling, and a fifth one without a
  skip makes 32 channels at the size of the image.
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import TransposedConvNormAct
from segjax.layers.head import xavier_classifier
from segjax.layers.upsample import UpsampleNormAct
from segjax.layers.upsample import upsample
from segjax.ops.pool import max_pool

LAST = 32  # Channels at the size of the image.


class Enlarge(nn.Module):
  """Doubles the size, and crops to a size.

  The double of a level is one row or column longer than the finer level where
  that has an odd side.
  """

  upsampling: str  # See `Model`.
  features: int
  kernel: int  # 3 or 4.
  bias: bool

  @nn.compact
  def __call__(self, x, size, train):
    y = UpsampleNormAct(
        self.upsampling,
        self.features,
        kernel=self.kernel,
        padding=1,
        output_padding=4 - self.kernel,
        bias=self.bias,
        name='layer',
    )(x, train)
    return y[:, : size[0], : size[1]]


class Stage(nn.Module):
  """Narrows to a quarter of the channels, enlarges, and widens; figure 3."""

  upsampling: str  # See `Model`.
  features: int
  variant: str
  enlarge: bool = True  # Else the size stays.

  @remat.block
  @nn.compact
  def __call__(self, x, like, train):
    """Returns [B, height, width, features].

    Args:
      x: [B, h, w, C].
      like: an array of the new size, [B, height, width, D].
      train: whether norms take their statistics from the batch.
    """
    inner, smp = x.shape[-1] // 4, self.variant == 'smp'
    x = ConvNormAct(inner, kernel=1, name='narrow')(x, train)
    if self.enlarge:
      x = Enlarge(
          self.upsampling, inner, 4 if smp else 3, bias=smp, name='enlarge'
      )(x, like.shape[1:3], train)
    else:
      x = TransposedConvNormAct(
          inner, kernel=3, padding=1, bias=False, name='enlarge'
      )(x, train)
    return ConvNormAct(self.features, kernel=1, name='widen')(x, train)


class Model(nn.Module):
  """Backbone, and stages whose results are added to the backbone's levels."""

  num_classes: int
  backbone: str = 'resnet/18'
  variant: str = 'paper'  # Or 'smp', see above.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.variant not in ('paper', 'smp'):
      raise ValueError(
          f'LinkNet has no variant {self.variant!r}. Known: paper, smp.'
      )
    levels = ('c4', 'c3', 'c2', 'c1')
    feats = backbones.build(self.backbone, ('c5', *levels), name='backbone')(
        image, train
    )
    if self.variant == 'paper':
      feats['c1'] = max_pool(feats['c1'], (3, 3), (2, 2), ((1, 1), (1, 1)))
    x = feats['c5']
    for level in levels:
      skip = feats[level]
      # Only the paper's last stage has the size of its skip already.
      x = skip + Stage(
          self.upsampling,
          skip.shape[-1],
          self.variant,
          enlarge=self.variant == 'smp' or level != 'c1',
          name=f'up_{level}',
      )(x, skip, train)
    if self.variant == 'smp':
      x = Stage(self.upsampling, LAST, self.variant, name='up_image')(
          x, image, train
      )
      logits = xavier_classifier(self.num_classes, kernel=1)(x)
    else:
      logits = self._head(x, image.shape[1:3], train)
    return {'logits': logits, 'aux': {}}

  def _head(self, x, size, train):
    """Returns scores [B, height, width, K] of features at stride 4."""
    half = tuple(-(-side // 2) for side in size)
    x = Enlarge(self.upsampling, LAST, 3, bias=True, name='head_enlarge')(
        x, half, train
    )
    x = ConvNormAct(LAST, bias=True, name='head_conv')(x, train)
    x = upsample(
        self.upsampling, self.num_classes, bias=True, name='classifier'
    )(x)
    return x[:, : size[0], : size[1]]
