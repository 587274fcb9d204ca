"""VGG, https://arxiv.org/abs/1409.1556, with and without batch norm.

Checked against torchvision 0.28, whose pools drop an odd last row or column.
Segmentation networks of Caffe turn the two hidden layers of the classifier, fc6
and fc7, into convolutions, and differ in pooling and padding. `FCN` and
`LARGE_FOV` are the fields of two of them.
"""

from collections.abc import Callable
import functools

from flax import linen as nn

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.ops.pool import adaptive_avg_pool
from segjax.ops.pool import max_pool


def pool2(x, stride):
  """Applies 2x2 max pooling; stride 1 pads the last row and column."""
  padding = ((0, 2 - stride),) * 2
  return max_pool(x, (2, 2), (stride, stride), padding)


def pool2_up(x, stride):
  """Applies 2x2 max pooling; sizes round up, as in Caffe."""
  padding = ((0, side % 2 if stride == 2 else 1) for side in x.shape[1:3])
  return max_pool(x, (2, 2), (stride, stride), tuple(padding))


def pool3(x, stride):
  """Applies 3x3 max pooling with a border of 1; sizes round up, as in Caffe.

  For images with sides of 32k + 1 pixels, the corner pixels of the image and of
  the features lie at the same places.
  """
  padding = ((1, 2 - side % 2 if stride == 2 else 1) for side in x.shape[1:3])
  return max_pool(x, (3, 3), (stride, stride), tuple(padding))


# Convolution of fc6 over all that is left of the 224 x 224 pixels of a
# classifier.
WHOLE = dict(kernel=7, padding=0)


class Backbone(nn.Module):
  """Five stages of 3x3 convolutions, each followed by max pooling.

  'c1' to 'c5' are the outputs of the pools, and 'conv5' is the input of the
  last pool. Once the stride has reached `output_stride`, pools have stride 1
  and the convolutions after them dilate. So the dilated features, subsampled,
  equal the strided ones up to the last pool.

  'fc7' is the output of the classifier's two hidden layers. They read 'c5' or,
  with `num_classes`, the means of 'c5' over a grid of 7x7 cells.
  """

  depths: tuple[int, int, int, int, int]  # Convolutions of each stage.
  width: int = 64  # Channels of the first stage.
  norm: Callable[..., nn.Module] | None = None
  pool: Callable = pool2
  smooth: bool = False  # 'c5' is a 3x3 mean of the last pool's output.
  padding: int | None = None  # Zeros on each side; None keeps the size.
  first_padding: int | None = None  # Of the first convolution, if it differs.
  hidden: int = 4096  # Features of fc6 and fc7.
  fc6: dict | None = None  # Fields of the convolution fc6; None omits 'fc7'.
  dropout: float = 0.5
  output_stride: int = 32
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  @property
  def levels(self):
    """Names of the levels that the backbone returns."""
    hidden = ('fc7',) if self.fc6 or self.num_classes else ()
    return ('c1', 'c2', 'c3', 'c4', 'c5', 'conv5', *hidden)

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a VGG has 8, 16 or 32.'
      )
    x, feats, total, dilation = image, {}, 1, 1
    for level, depth in enumerate(self.depths, 1):
      for i in range(1, depth + 1):
        padding = self.padding
        if level == i == 1 and self.first_padding is not None:
          padding = self.first_padding
        x = ConvNormAct(
            self.width * min(2 ** (level - 1), 8),
            dilation=dilation,
            padding=padding,
            bias=True,
            norm=self.norm,
            name=f'conv{level}_{i}',
        )(x, train)
      if level == 5:
        feats['conv5'] = x
      stride = 2 if total < self.output_stride else 1
      x = self.pool(x, stride)
      feats[f'c{level}'] = x
      total, dilation = total * stride, dilation * 2 // stride
    if self.smooth:
      x = feats['c5'] = nn.avg_pool(x, (3, 3), padding=((1, 1), (1, 1)))
    if self.num_classes:
      x = adaptive_avg_pool(x, (7, 7))
    if self.fc6 or self.num_classes:
      hidden = functools.partial(ConvNormAct, self.hidden, norm=None, bias=True)
      dropout = nn.Dropout(self.dropout, deterministic=not train)
      x = dropout(hidden(name='fc6', **(self.fc6 or WHOLE))(x, train))
      x = dropout(hidden(kernel=1, name='fc7')(x, train))
      feats['fc7'] = x
    if self.num_classes:
      init = nn.initializers.normal(0.01)
      dense = nn.Dense(self.num_classes, kernel_init=init, name='classifier')
      feats['class_logits'] = dense(x.mean((1, 2)))
    return feats


# FCN, https://arxiv.org/abs/1411.4038. Its padding of 100 pixels leaves fc6 at
# least one window in an image of any size.
FCN = dict(pool=pool2_up, first_padding=100, fc6=WHOLE)

# DeepLab-LargeFOV, https://arxiv.org/abs/1412.7062.
LARGE_FOV = dict(
    pool=pool3, smooth=True, output_stride=8, fc6=dict(kernel=3, dilation=12)
)

DEPTHS = {
    '11': (1, 1, 2, 2, 2),
    '13': (2, 2, 2, 2, 2),
    '16': (2, 2, 3, 3, 3),
    '19': (2, 2, 4, 4, 4),
}

VARIANTS = {
    'tiny': dict(depths=(1, 1, 1, 1, 1), width=8, hidden=32),
    **{name: dict(depths=depths) for name, depths in DEPTHS.items()},
    **{
        f'{name}_bn': dict(depths=depths, norm=norms.BatchNorm)
        for name, depths in DEPTHS.items()
    },
}
