"""Fully convolutional networks, https://arxiv.org/abs/1411.4038.

VGG's classifier, applied as a convolution, scores each position of an image of
any size, and scores of finer levels are added. FCN-32s, FCN-16s and FCN-8s are
each trained from the one before. They follow the authors' Caffe files and
wkentaro/pytorch-fcn, against which they were checked. `scales=(0.01, 0.0001)`
is the FCN-8s of the journal version, which is trained in a single stage,
https://arxiv.org/abs/1605.06211.
"""

from flax import linen as nn

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.skip import SkipHead


class Model(nn.Module):
  """VGG and a sum of the scores of up to three of its levels."""

  num_classes: int
  backbone: str = 'vgg/16'
  stride: int = 8  # Stride of the finest scores: 32, 16 or 8.
  scales: tuple[float, float] = (1.0, 1.0)  # Factors on pool4 and pool3.
  dropout: float = 0.5
  upsampling: str = 'transposed'  # Of scores, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(
        self.backbone,
        SkipHead.reads,
        **vgg.FCN,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    head = SkipHead(
        self.num_classes,
        self.stride,
        self.scales,
        upsampling=self.upsampling,
        name='head',
    )
    return {'logits': head(feats, image.shape[1:3]), 'aux': {}}
