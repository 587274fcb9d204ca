"""SegNet-Basic, https://arxiv.org/abs/1511.00561, section 3.1.

The small SegNet, for ablations: a decoder puts values back where the encoder's
pools took theirs from, so that only places cross from one to the other. Of
four stages each, with 7x7 convolutions, and without ReLU in the decoder.
As the authors' Caffe network, alexgkendall/SegNet-Tutorial, which normalises
the image over its channels, where the paper has local contrast normalisation.
"""

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.layers.norm import caffe_batch_norm
from segjax.ops.lrn import local_response_norm
from segjax.ops.unpool import max_pool
from segjax.ops.unpool import unpool


class Model(nn.Module):
  """Convolutions and pools, then unpools and convolutions; a classifier."""

  num_classes: int
  stages: int = 4
  features: int = 64
  kernel: int = 7

  @nn.compact
  def __call__(self, image, *, train=False):
    def conv(act, name):
      return ConvNormAct(
          self.features,
          kernel=self.kernel,
          bias=True,
          norm=caffe_batch_norm,
          act=act,
          name=name,
      )

    x, pools = local_response_norm(image), []
    for i in range(1, self.stages + 1):
      x = conv(nn.relu, f'encode{i}')(x, train)
      size = x.shape[1:3]
      x, place = max_pool(x)
      pools.append((place, size))
    for i in range(self.stages, 0, -1):
      x = unpool(x, *pools.pop())
      x = conv(None, f'decode{i}')(x, train)
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}
