"""DeepLabv2, https://arxiv.org/abs/1606.00915.

ASPP sums the scores of several dilated classifiers on the same features (figure
7). The network is applied to the image at several scales, and the score of a
pixel and class is the largest over scales (section 3.2). Checked against
kazuto1011/deeplab-pytorch, which resizes images and scores without aligned
corners; the authors' Caffe network aligns them. Both have a loss for each scale
and for the maximum, as `config.aux_weight=1.0` has here. They compute it at
stride 8 with every 8th label, and here it is computed at the size of the image.
The dense CRF is applied at prediction, by `config.predict.refine`.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.aspp import AtrousClassifiers
from segjax.ops.resize import rescale
from segjax.ops.resize import resize


class Model(nn.Module):
  """Dilated backbone, sum of dilated classifiers, maximum over scales."""

  num_classes: int
  backbone: str = 'resnet/101_caffe(output_stride=8)'
  rates: tuple[int, ...] = (6, 12, 18, 24)
  scales: tuple[float, ...] = (0.5, 0.75)  # Scales beside 1.

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


def largest(scores):
  """Returns the maximum of scores over scales, at the size of the first.

  Args:
    scores: a list of scores [B, h, w, K] of the same images, one for each
      scale.
  """
  size = scores[0].shape[1:3]
  return functools.reduce(jnp.maximum, (resize(x, size) for x in scores))
