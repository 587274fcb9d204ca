"""Fully convolutional networks, https://arxiv.org/abs/1411.4038.

A classifier as a convolution scores each place of an image of any size, and
scores of finer layers sharpen its answer: FCN-32s, 16s and 8s, each trained
from the one before. As the authors' Caffe files and wkentaro/pytorch-fcn build
them; checked against the latter. The journal's FCN-8s, trained at once,
https://arxiv.org/abs/1605.06211, is `scales=(0.01, 0.0001)`.
"""

from flax import linen as nn

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.skip import SkipHead


class Model(nn.Module):
  """VGG as a convolution of the image, scores of up to three levels."""

  num_classes: int
  backbone: str = 'vgg/16'
  stride: int = 8  # Of the finest scores: 32, 16 or 8.
  scales: tuple[float, float] = (1.0, 1.0)  # Of pool4 and pool3.
  dropout: float = 0.5

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        SkipHead.reads,
        **vgg.FCN,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    head = SkipHead(self.num_classes, self.stride, self.scales, name='head')
    return {'logits': head(feats, image.shape[1:3]), 'aux': {}}
