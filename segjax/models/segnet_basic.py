"""SegNet-Basic, https://arxiv.org/abs/1511.00561, section 3.1.

The small SegNet of the paper's ablations. Encoder and decoder have four stages
of a 7x7 convolution each; the decoder unpools to the positions of the encoder's
maxima and has no ReLU. This is the authors' Caffe network,
alexgkendall/SegNet-Tutorial, which normalises the image by local response
normalisation over channels; the paper has local contrast normalisation.
"""

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.layers.norm import caffe_batch_norm
from segjax.ops.lrn import local_response_norm
from segjax.ops.unpool import max_pool
from segjax.ops.unpool import unpool


class Model(nn.Module):
  """Encoder with max pooling, decoder with unpooling, and a classifier."""

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
      x, positions = max_pool(x)
      pools.append((positions, size))
    for i in range(self.stages, 0, -1):
      x = unpool(x, *pools.pop())
      x = conv(None, f'decode{i}')(x, train)
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}
