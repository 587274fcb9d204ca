"""SegNet, https://arxiv.org/abs/1511.00561.

The decoder puts each value back where the encoder's max pool took one from,
and convolves: only places cross from one to the other, no features, figure 2.
The encoder has the 13 convolutions of VGG16, with batch norm. As the authors'
Caffe network, alexgkendall/SegNet-Tutorial, against which it was checked.
"""

from flax import linen as nn

from segjax.layers.conv import conv
from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import PoolingEncoder
from segjax.layers.unpooling import UnpoolingDecoder


class Model(nn.Module):
  """Encoder, decoder, and a 3x3 convolution for its last, to the classes."""

  num_classes: int
  depths: tuple[int, ...] = VGG16  # Convolutions of each stage.
  width: int = 64  # Of the first.

  @nn.compact
  def __call__(self, image, *, train=False):
    x, pools = PoolingEncoder(self.depths, self.width, name='backbone')(
        image, train
    )
    # The last convolution of all is the classifier.
    depths = (self.depths[0] - 1, *self.depths[1:])
    x = UnpoolingDecoder(depths, self.width, name='decoder')(x, pools, train)
    logits = conv(self.num_classes, bias=True, name='classifier')(x)
    return {'logits': logits, 'aux': {}}
