"""ResNet-38, wide and shallow, https://arxiv.org/abs/1611.10080.

It is built of pre-activated residual units with up to 4096 channels. Variant
'a1' is the paper's Model A1, checked against itijyou/ademxapp, and 'a2' is the
WiderResNet-38 of NVIDIA/semantic-segmentation, checked against that. They
differ in where they stride and in how they dilate, so weights of one do not
suit the other.

Both expect images normalised by ImageNet's mean and standard deviation.
"""

from flax import linen as nn

from segjax.layers import norm as norms
from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.ops.pool import max_pool


class Unit(nn.Module):
  """Adds two or three times norm, ReLU and convolution to a shortcut.

  Two convolutions are 3x3 both; three are 1x1, 3x3 and 1x1. The first one
  strides.
  """

  widths: tuple[int, ...]  # Channels of each convolution.
  stride: int = 1
  dilations: tuple[int, int] = (1, 1)  # First and later convolutions.
  project: bool = False  # Whether the shortcut has a 1x1 convolution.
  dropout: float = 0.0  # Rate before the last convolution.
  drop_channels: bool = False  # See `Backbone`.
  epsilon: float = 1e-5

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    kernels = (3, 3) if len(self.widths) == 2 else (1, 3, 1)
    shortcut = x
    for i, (width, kernel) in enumerate(
        zip(self.widths, kernels, strict=True), 1
    ):
      norm = norms.BatchNorm(train, epsilon=self.epsilon, name=f'norm{i}')
      x = nn.relu(norm(x))
      if i == 1 and self.project:
        shortcut = conv(
            self.widths[-1], 1, stride=self.stride, name='shortcut'
        )(x)
      if i == len(kernels):
        shared = (1, 2) if self.drop_channels else ()
        x = nn.Dropout(self.dropout, shared)(x, deterministic=not train)
      x = conv(
          width,
          kernel,
          stride=self.stride if i == 1 else 1,
          dilation=self.dilations[min(i, 2) - 1],
          name=f'conv{i}',
      )(x)
    return shortcut + x


class Backbone(nn.Module):
  """A convolution and levels 2 to 7 of residual units.

  'c0' is the output of the convolution, and 'c1' to 'c4' are those of levels 2
  to 5, before any norm and ReLU; 'c5' is the output of level 7 after both.
  """

  depths: tuple[int, int, int, int] = (3, 3, 6, 3)  # Units of levels 2 to 5.
  width: int = 64  # Channels of the first convolution.
  output_stride: int = 32
  # Levels that begin with 3x3 max pooling, which strides instead of their first
  # convolution.
  pooled: tuple[int, ...] = ()
  # Whether the first convolution of a dilated level has that level's dilation.
  # Otherwise it keeps the dilation so far, so that the dilated features,
  # subsampled, equal the strided ones.
  dilate_first: bool = False
  # Dropout rates of levels 6 and 7; (0.3, 0.5) for segmentation.
  dropout: tuple[float, float] = (0.0, 0.0)
  drop_channels: bool = False  # Whether dropout is of whole channels.
  # Whether norm and ReLU end the network; Gated-SCNN leaves them out.
  final_norm: bool = True
  epsilon: float = 1e-5
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c0', 'c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a ResNet-38 has 8, 16 or 32.'
      )
    x = conv(self.width, name='stem')(image)
    feats = {'c0': x}
    total, dilation = 1, 1
    for level, depth, widths, dropout in (
        (2, self.depths[0], (2, 2), 0.0),
        (3, self.depths[1], (4, 4), 0.0),
        (4, self.depths[2], (8, 8), 0.0),
        (5, self.depths[3], (8, 16), 0.0),
        (6, 1, (8, 16, 32), self.dropout[0]),
        (7, 1, (16, 32, 64), self.dropout[1]),
    ):
      stride = 2 if level < 7 else 1
      if total * stride > self.output_stride:  # Dilate instead of striding.
        first, stride, dilation = dilation, 1, dilation * stride
      else:
        first, total = dilation, total * stride
      if self.dilate_first:
        first = dilation
      if level in self.pooled and stride == 2:
        x = max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        stride = 1
      for i in range(depth):
        x = Unit(
            tuple(self.width * width for width in widths),
            stride=stride if i == 0 else 1,
            dilations=(first if i == 0 else dilation, dilation),
            project=i == 0,
            dropout=dropout,
            drop_channels=self.drop_channels,
            epsilon=self.epsilon,
            name=f'level{level}_{i}',
        )(x, train)
      if level < 6:
        feats[f'c{level - 1}'] = x
    if self.final_norm:
      norm = norms.BatchNorm(train, epsilon=self.epsilon, name='norm')
      x = nn.relu(norm(x))
    feats['c5'] = x
    if self.num_classes:
      mean = feats['c5'].mean((1, 2))
      feats['class_logits'] = nn.Dense(self.num_classes, name='classifier')(
          mean
      )
    return feats


VARIANTS = {
    'tiny': dict(depths=(1, 1, 1, 1), width=4),
    'a1': dict(epsilon=1.001e-5),  # The value that MXNet has.
    'a2': dict(pooled=(2, 3), dilate_first=True, drop_channels=True),
}
