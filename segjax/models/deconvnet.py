"""DeconvNet, https://arxiv.org/abs/1505.04366.

The encoder is VGG16 with two hidden layers. The decoder mirrors it: it unpools
to the positions of the encoder's maxima and fills the gaps by transposed
convolutions (figure 2). The paper applies it to boxes around single objects and
combines the results, as `segjax/inference/boxes.py` does; it segments whole
images as well. Checked against the authors' Caffe network,
HyeonwooNoh/DeconvNet, whose images have 224 x 224 pixels.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import TransposedConvNormAct
from segjax.layers.head import classifier
from segjax.layers.norm import caffe_batch_norm
from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import PoolingEncoder
from segjax.layers.unpooling import UnpoolingDecoder


class Model(nn.Module):
  """Encoder, two hidden layers, and a decoder to the size of the image.

  The first hidden layer is an unpadded convolution over `hidden_kernel` x
  `hidden_kernel` pixels of the last pool. An image too small for one window is
  padded with zeros.
  """

  num_classes: int
  depths: tuple[int, ...] = VGG16  # Convolutions of each stage.
  width: int = 64  # Channels of the first stage.
  hidden: int = 4096  # Channels of the hidden layers.
  hidden_kernel: int = 7

  @nn.compact
  def __call__(self, image, *, train=False):
    height, width = image.shape[1:3]
    least = self.hidden_kernel * 2 ** len(self.depths)
    border = [(0, max(least - side, 0)) for side in (height, width)]
    x = jnp.pad(image, ((0, 0), *border, (0, 0)))
    shape = self.depths, self.width
    x, pools = PoolingEncoder(*shape, name='backbone')(x, train)
    kernel, norm = self.hidden_kernel, caffe_batch_norm
    features = x.shape[-1]
    for i, size in enumerate((kernel, 1), 1):
      x = ConvNormAct(
          self.hidden,
          kernel=size,
          padding=0,
          bias=True,
          norm=norm,
          name=f'hidden{i}',
      )(x, train)
    x = TransposedConvNormAct(features, kernel, norm=norm, name='spread')(
        x, train
    )
    x = UnpoolingDecoder(
        depths=self.depths, width=self.width, transposed=True, name='decoder'
    )(x, pools, train)
    logits = classifier(self.num_classes)(x)
    return {'logits': logits[:, :height, :width], 'aux': {}}
