"""SegNet, https://arxiv.org/abs/1511.00561.

The decoder unpools values to the positions of the maxima in the encoder's
pools, and convolves: it gets these positions, but no features of the encoder
(figure 2). The encoder has the 13 convolutions of VGG16, with batch norm.
Checked against the authors' Caffe network, alexgkendall/SegNet-Tutorial.
"""

from flax import linen as nn

from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import PoolingEncoder
from segjax.layers.unpooling import UnpoolingDecoder


class Model(nn.Module):
  """Encoder, and a decoder whose last convolution is the classifier."""

  num_classes: int
  depths: tuple[int, ...] = VGG16  # Convolutions of each stage.
  width: int = 64  # Channels of the first stage.

  @nn.compact
  def __call__(self, image, *, train=False):
    shape = self.depths, self.width
    x, pools = PoolingEncoder(*shape, name='backbone')(image, train)
    decoder = UnpoolingDecoder(self.num_classes, *shape, name='decoder')
    return {'logits': decoder(x, pools, train), 'aux': {}}
