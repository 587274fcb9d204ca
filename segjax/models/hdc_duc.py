"""HDC and DUC, https://arxiv.org/abs/1702.08502.

Hybrid dilated convolution: the blocks of a stage dilate by numbers without a
common factor, so that together they leave out no pixel. Dense upsampling
convolution: each position of a coarse map predicts the scores of all cells of
the square that it stands for. As the authors' released network for Cityscapes
(TuSimple/TuSimple-DUC), whose stage 3 dilates by 2, 2, 5, 9, 1, 2, ...; the
paper's text has groups of 1, 2, 5, 9. Checked against a PyTorch network built
after it. The authors' loss is that of cells; here scores are enlarged to the
image, as the authors do to predict.

zijundeng/pytorch-semantic-segmentation, checked against, has `rates=(1,),
cell_width=1, norm_scores=True` on 'resnet/152(output_stride=8, dilations=(1, 1,
(1, 2, 5, 9), (5, 9, 17)))': one convolution whose scores are normalised and
pass a ReLU.

yassouali/pytorch-segmentation, checked against, has DeepLabv3+ with both ideas:
`decoder=True, rates=(6, 12, 18, 24, 36)` on 'resnet/101(output_stride=8,
dilations=(1, 1, (1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3,
2, 2), (3, 4, 5)))'. Its scores end with a ReLU, so that none is negative.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import ASPP
from segjax.layers.aspp import AtrousClassifiers
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.layers.norm import BatchNorm
from segjax.ops.pixel_shuffle import pixel_shuffle
from segjax.ops.resize import resize

STRIDE = 8  # Of the features; the backbone's string has to say so, too.


class DenseUpsampling(nn.Module):
  """Enlarges by a 1x1 convolution to all pixels of a square, norm and ReLU."""

  features: int
  factor: int

  @nn.compact
  def __call__(self, x, train):
    channels = self.features * self.factor**2
    x = ConvNormAct(channels, kernel=1, name='cells')(x, train)
    return pixel_shuffle(x, self.factor)


class Decoder(nn.Module):
  """Adds features of stride 4 to an ASPP, and enlarges both by DUC."""

  num_classes: int
  rates: tuple[int, ...]
  features: int
  low_features: int = 48  # Channels that features of stride 4 are reduced to.
  # Rates after the ASPP, and before the classifier.
  dropout: tuple[float, float] = (0.5, 0.1)

  @nn.compact
  def __call__(self, feats, train):
    x = ASPP(self.features, self.rates, name='aspp')(feats['c5'], train)
    x = nn.Dropout(self.dropout[0])(x, deterministic=not train)
    x = DenseUpsampling(self.features, 2, name='duc_features')(x, train)
    low = ConvNormAct(self.low_features, kernel=1, name='low')(
        feats['c2'], train
    )
    x = x[:, : low.shape[1], : low.shape[2]]
    x = jnp.concatenate([low, x], -1)
    for i in (1, 2):
      x = ConvNormAct(self.features, name=f'refine{i}')(x, train)
    x = nn.Dropout(self.dropout[1])(x, deterministic=not train)
    x = classifier(self.num_classes)(x)
    return DenseUpsampling(self.num_classes, 4, name='duc_scores')(x, train)


class Model(nn.Module):
  """Backbone with hybrid dilation, dilated classifiers, pixel shuffle."""

  num_classes: int
  backbone: str = (
      'resnet/101_duc(output_stride=8, dilations=(1, 1, (2, 2, 5, 9, 1, 2, 5,'
      ' 9, 1, 2, 5, 9, 1, 2, 5, 9, 1, 2, 5, 9, 1, 2, 5), (5, 9, 17)))'
  )
  rates: tuple[int, ...] = (6, 12, 18, 24)
  cell_width: int = 2  # Pixels of the image that a score is for: 1, 2, 4 or 8.
  norm_scores: bool = False  # Applies batch norm and ReLU to the scores.
  # A decoder in place of the classifiers; `cell_width` and `norm_scores` are
  # without effect then.
  decoder: bool = False
  features: int = 256  # Channels in the decoder.
  dropout: tuple[float, float] = (0.5, 0.1)  # See `Decoder`.

  @property
  def multiple(self):
    return 1 if self.decoder else STRIDE

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.cell_width not in (1, 2, 4, 8):
      raise ValueError(
          f'cell_width={self.cell_width}: features are at stride {STRIDE}, so'
          ' it is 1, 2, 4 or 8.'
      )
    levels = ('c2', 'c5') if self.decoder else ('c5',)
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    height, width = image.shape[1:3]
    if self.decoder:
      logits = Decoder(
          self.num_classes,
          self.rates,
          self.features,
          dropout=self.dropout,
          name='decoder',
      )(feats, train)
      return {'logits': logits[:, :height, :width], 'aux': {}}
    side = STRIDE // self.cell_width
    x = AtrousClassifiers(self.num_classes * side**2, self.rates, name='duc')(
        feats['c5']
    )
    if self.norm_scores:
      x = nn.relu(BatchNorm(train, name='norm')(x))
    logits = pixel_shuffle(x, side)
    return {'logits': resize(logits, (height, width)), 'aux': {}}
