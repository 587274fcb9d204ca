"""DeepLabv2, https://arxiv.org/abs/1606.00915.

Classifiers of several dilations look at the same features, and their scores
are summed (figure 7, ASPP); the image is seen at several scales, and each
pixel takes the largest score of any (section 3.2). Checked against
kazuto1011/deeplab-pytorch, whose smaller images and scores are interpolated
without aligned corners; in the authors' Caffe, corners are aligned. Both have a
loss for each scale and for the maximum, `aux_weight=1.0` here, and take it at
stride 8, with fewer labels, where it is at the size of the image here. The CRF
comes after the network.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import Conv
from segjax.ops.resize import rescale
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, a sum of dilated classifiers, a maximum over scales."""

  num_classes: int
  backbone: str = 'resnet/101_caffe(output_stride=8)'
  rates: tuple[int, ...] = (6, 12, 18, 24)
  scales: tuple[float, ...] = (0.5, 0.75)  # Beside the image's own.

  @nn.compact
  def __call__(self, image, *, train=False):
    backbone = backbones.build(self.backbone, ('c5',), name='backbone')
    aspp = AtrousClassifiers(self.num_classes, self.rates, name='aspp')
    images = [image, *(rescale(image, factor) for factor in self.scales)]
    scores = [aspp(backbone(x, train)['c5']) for x in images]
    size = image.shape[1:3]
    return {
        'logits': resize(largest(scores), size),
        'aux': {f'scale{i}': resize(x, size) for i, x in enumerate(scores)},
    }


class AtrousClassifiers(nn.Module):
  """A sum of 3x3 convolutions to scores, of several dilations."""

  num_classes: int
  rates: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    return sum(
        Conv(
            self.num_classes,
            (3, 3),
            padding=rate,
            kernel_dilation=rate,
            kernel_init=nn.initializers.normal(0.01),
            name=f'atrous{i}',
        )(x)
        for i, rate in enumerate(self.rates)
    )


def largest(scores):
  """Returns the largest of several scores, at the size of the first.

  Args:
    scores: of one image at several scales, each [B, h, w, K].
  """
  size = scores[0].shape[1:3]
  return functools.reduce(jnp.maximum, (resize(x, size) for x in scores))
