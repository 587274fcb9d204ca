"""VGG, https://arxiv.org/abs/1409.1556, with and without batch norm.

Checked against torchvision 0.28, whose pools drop an odd last row or column,
and in DeepLab's atrous form, '16_atrous' with `output_stride=8`,
https://arxiv.org/abs/1412.7062: Caffe's pools are 3x3, padded, and round up,
so sides of 32k + 1 pixels keep the corners of image and features aligned.
"""

from collections.abc import Callable
import functools

from flax import linen as nn

from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.ops.pool import adaptive_avg_pool


def pool2(x, stride):
  """2x2 pooling; with stride 1, the last window overlaps the border."""
  padding = ((0, 2 - stride),) * 2
  return nn.max_pool(x, (2, 2), (stride, stride), padding)


def pool2_up(x, stride):
  """2x2 pooling; sizes round up, as in Caffe."""
  padding = [(0, side % 2 if stride == 2 else 1) for side in x.shape[1:3]]
  return nn.max_pool(x, (2, 2), (stride, stride), padding)


def pool3(x, stride):
  """3x3 pooling with a border of 1; with stride 2, sizes round up."""
  padding = [(1, 2 - side % 2 if stride == 2 else 1) for side in x.shape[1:3]]
  return nn.max_pool(x, (3, 3), (stride, stride), padding)


class Backbone(nn.Module):
  """Five stages of 3x3 convolutions, each with a pool behind it.

  'c1' to 'c5' are the pools' outputs. Beyond `output_stride` pools keep their
  window and lose their stride, and the convolutions after them dilate, so that
  dense features, subsampled, equal the strided ones up to the last pool.
  'conv5' is what the last pool reads.
  """

  depths: tuple[int, int, int, int, int]
  width: int = 64
  norm: Callable[..., nn.Module] | None = None
  pool: Callable = pool2
  hidden: int = 4096  # Of the two layers before the classifier.
  output_stride: int = 32
  num_classes: int = 0  # Of 'class_logits'; 0 builds none.

  @nn.compact
  def __call__(self, image, train=False):
    if self.output_stride not in (8, 16, 32):
      raise ValueError(
          f'output_stride={self.output_stride}: a VGG has 8, 16 or 32.'
      )
    x, feats, total, dilation = image, {}, 1, 1
    for level, depth in enumerate(self.depths, 1):
      for i in range(1, depth + 1):
        x = ConvNormAct(
            self.width * min(2 ** (level - 1), 8),
            dilation=dilation,
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
    if self.num_classes:
      x = adaptive_avg_pool(x, (7, 7))
      # Channels first, as PyTorch orders what its linear layer reads.
      x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
      dense = functools.partial(
          nn.Dense, kernel_init=nn.initializers.normal(0.01)
      )
      x = nn.relu(dense(self.hidden, name='hidden1')(x))
      x = nn.relu(dense(self.hidden, name='hidden2')(x))
      feats['class_logits'] = dense(self.num_classes, name='classifier')(x)
    return feats


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
        f'{name}_bn': dict(depths=depths, norm=norms.batch_norm)
        for name, depths in DEPTHS.items()
    },
    'tiny_caffe': dict(depths=(1, 1, 1, 1, 1), width=8, pool=pool2_up),
    '16_caffe': dict(depths=DEPTHS['16'], pool=pool2_up),
    '16_atrous': dict(depths=DEPTHS['16'], pool=pool3),
}
