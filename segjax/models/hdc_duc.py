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
"""

from flax import linen as nn

from segjax import backbones
from segjax.layers.aspp import AtrousClassifiers
from segjax.layers.norm import BatchNorm
from segjax.ops.pixel_shuffle import pixel_shuffle
from segjax.ops.resize import resize

STRIDE = 8  # Of the features; the backbone's string has to say so, too.


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

  @property
  def multiple(self):
    return STRIDE

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.cell_width not in (1, 2, 4, 8):
      raise ValueError(
          f'cell_width={self.cell_width}: features are at stride {STRIDE}, so'
          ' it is 1, 2, 4 or 8.'
      )
    feats = backbones.build(self.backbone, ('c5',), name='backbone')(
        image, train
    )
    side = STRIDE // self.cell_width
    x = AtrousClassifiers(self.num_classes * side**2, self.rates, name='duc')(
        feats['c5']
    )
    if self.norm_scores:
      x = nn.relu(BatchNorm(train, name='norm')(x))
    logits = pixel_shuffle(x, side)
    return {'logits': resize(logits, image.shape[1:3]), 'aux': {}}
