"""ResNets with attention along axes in the place of 3x3 convolutions.

Axial-DeepLab, https://arxiv.org/abs/2003.07853. Two public code lines differ:

- csrhddlam/axial-deeplab has classifiers: '26_s', '50_s', '50_m' and '50_l'. A
  7x7 convolution and max pooling are followed by axial blocks alone, which
  stride by averaging. Their tables of positions fit images of 224 x 224,
  `image_side`; larger distances in a larger image share the last vector.
- google-research/deeplab2 has the networks for panoptic segmentation, for
  sides of 16n + 1 pixels. 'deeplab_s' and 'deeplab_l' are Axial-DeepLab's, of
  axial blocks alone, behind a stem of three convolutions; 'max_s' is
  MaX-DeepLab-S's, with bottlenecks up to stride 16; 'swidernet' is
  Axial-SWideRNet-(1, 1, 1), https://arxiv.org/abs/2011.11675, with pairs of
  3x3 convolutions up to stride 16, which MaX-DeepLab-L has, too.

Features are activated. 'tiny' is our own, for tests and laptops. Checked
against both.
"""

from collections.abc import Callable
import functools
import math

from flax import linen as nn
import jax

from segjax.layers import norm as norms
from segjax.layers.axial_attention import Block
from segjax.layers.conv import ConvNormAct
from segjax.ops.pool import max_pool


class Backbone(nn.Module):
  """Four or five stages of blocks behind a strided stem.

  A block reads features at some stride; from `axial_from` on it is axial. Of
  the filters f of its stage, doubled from stage to stage, a block returns 4f
  channels.
  """

  depths: tuple[int, ...]  # Of five stages, the first does not stride.
  # Channels of 3x3 convolutions, or of a 7x7 one in front of max pooling.
  stem: tuple[int, ...] = (64, 64, 128)
  filters: int = 64  # f of the first stage.
  kind: str = 'bottleneck'  # Of blocks that are not axial, see `Block`.
  axial_from: int = 16
  # Factors of f: channels between the convolutions of an axial block, and of
  # its keys and values.
  axial: tuple[int, int, int] = (2, 1, 2)
  pool: bool = False  # Whether the stem ends with max pooling.
  average: bool = False  # Whether axial blocks stride by averaging.
  # Side of the images that tables of positions fit; 0: positions up to 255.
  image_side: int = 0
  output_stride: int = 16
  drop_path: float = 0.0  # Of the last stage, see `dropped`.
  drop_from: int = 16  # The smallest stride at which paths are dropped.
  epsilon: float = 1e-3  # Added by norms to the variance.
  momentum: float = 0.99  # Of the running statistics.
  # Changes features on their way: `after('c5_0', x)` returns what is read in
  # the place of the result x of the first block of that stage, which is not
  # activated. MaX-DeepLab's memory looks at the pixels there.
  after: Callable[[str, jax.Array], jax.Array] | None = None
  num_classes: int = 0  # Channels of 'class_logits'; 0 omits the classifier.

  levels = ('c1', 'c2', 'c3', 'c4', 'c5')

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: an axial ResNet has 16 or 32.'
      )
    norm = functools.partial(
        norms.BatchNorm, epsilon=self.epsilon, momentum=self.momentum
    )
    x = image
    for i, features in enumerate(self.stem, 1):
      x = ConvNormAct(
          features,
          kernel=7 if self.pool else 3,
          stride=2 if i == 1 else 1,
          norm=norm,
          act=None if i == len(self.stem) else nn.relu,
          name=f'stem{i}',
      )(x, train)
    feats, stride = {'c1': nn.relu(x)}, 2
    if self.pool:
      x, stride = max_pool(nn.relu(x), (3, 3), (2, 2), ((1, 1), (1, 1))), 4
    first = 6 - len(self.depths)
    for level, depth in enumerate(self.depths, first):
      step = 2 if level > 1 and stride < 2**level else 1
      step = 1 if stride * step > self.output_stride else step
      width = self.filters * 2 ** (level - first)
      for i in range(depth):
        span = math.ceil(self.image_side / stride)
        x = self.block(
            width,
            stride >= self.axial_from,
            stride=step,
            average=self.average,
            span=span or 255,
            drop_path=self.dropped(level, i),
            norm=norm,
            name=f'stage{level}_{i}',
        )(x, train)
        if self.after:
          x = self.after(f'c{level}_{i}', x)
        stride, step = stride * step, 1
      feats[f'c{level}'] = nn.relu(x)
    if self.num_classes:
      feats['class_logits'] = nn.Dense(self.num_classes, name='classifier')(
          feats['c5'].mean((1, 2))
      )
    return feats

  @nn.nowrap
  def block(self, width: int, is_axial: bool, **fields) -> nn.Module:
    """Returns a block with 4 * `width` channels, of the caller's module.

    Args:
      width: f, filters of a stage.
      is_axial: whether it attends, or else is of the backbone's `kind`.
      **fields: further fields of `Block`.
    """
    if not is_axial:
      inner = width * (4 if self.kind == 'basic' else 1)
      return Block(self.kind, 4 * width, inner, **fields)
    inner, keys, values = (factor * width for factor in self.axial)
    return Block('axial', 4 * width, inner, keys, values, **fields)

  @nn.nowrap
  def dropped(self, level: int, index: int) -> float:
    """Returns the probability that the path of a block is dropped.

    It grows in equal steps from 0 to `drop_path` with the stride that a block
    reads; that of the first block of a stage is the stride of the stage before.

    Args:
      level: 2 to 5, of the stage.
      index: of the block in its stage.
    """
    level -= index == 0
    # Strides are counted up to 32, also where the last stage does not stride.
    return self.drop_path * (level - 1) / 4 if 2**level >= self.drop_from else 0


CLASSIFIER = dict(
    axial_from=2,
    pool=True,
    average=True,
    image_side=224,
    output_stride=32,
    epsilon=1e-5,
    momentum=0.9,
)
VARIANTS = {
    'tiny': dict(depths=(1, 1, 1, 2), stem=(16, 16, 32), filters=8),
    '26_s': dict(depths=(1, 2, 4, 1), stem=(32,), filters=32, **CLASSIFIER),
    '50_s': dict(depths=(3, 4, 6, 3), stem=(32,), filters=32, **CLASSIFIER),
    '50_m': dict(depths=(3, 4, 6, 3), stem=(48,), filters=48, **CLASSIFIER),
    '50_l': dict(depths=(3, 4, 6, 3), stem=(64,), **CLASSIFIER),
    'deeplab_s': dict(depths=(3, 4, 6, 3), filters=32, axial_from=2),
    'deeplab_l': dict(depths=(3, 4, 6, 3), axial_from=2),
    'max_s': dict(depths=(3, 4, 6, 3)),
    'swidernet': dict(
        depths=(3, 3, 6, 3, 3),
        stem=(64,),
        filters=32,
        kind='basic',
        axial=(4, 2, 4),
        drop_from=4,
    ),
}
