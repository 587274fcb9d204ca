"""SegNet, https://arxiv.org/abs/1511.00561.

The decoder puts each value back where the encoder's max pool took one from,
and convolves: only places cross from one to the other, no features, figure 2.
The encoder has the 13 convolutions of VGG16, with batch norm. As the authors'
Caffe network, alexgkendall/SegNet-Tutorial, against which it was checked.
"""

from flax import linen as nn

from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import PoolingEncoder
from segjax.layers.unpooling import UnpoolingDecoder


class Model(nn.Module):
  """Encoder and decoder, whose last convolution is the classifier."""

  num_classes: int
  depths: tuple[int, ...] = VGG16  # Convolutions of each stage.
  width: int = 64  # Of the first.

  @nn.compact
  def __call__(self, image, *, train=False):
    shape = self.depths, self.width
    x, pools = PoolingEncoder(*shape, name='backbone')(image, train)
    decoder = UnpoolingDecoder(self.num_classes, *shape, name='decoder')
    return {'logits': decoder(x, pools, train), 'aux': {}}
