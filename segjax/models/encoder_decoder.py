"""Encoder-Decoder, https://github.com/GeorgeSeif/Semantic-Segmentation-Suite.

A network after SegNet, https://arxiv.org/abs/1511.00561, that enlarges by
transposed convolutions in the place of unpooling; there is no paper of it. With
`skip` it is the Suite's Encoder-Decoder-Skip, without it the Encoder-Decoder.
It was built from a description of the Suite's code, and compared with no other
implementation, since there are no weights.

Two things differ from that code. Its classifier has a ReLU, which is the
default of TensorFlow's slim and is left out here. It never updates running
statistics and normalises by those of the batch in evaluation as well,
`batch_at_test=True`; here running statistics are used, so that a score does not
depend on the other images.
"""

from collections.abc import Callable
import functools

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.layers.encoder_decoder import EncoderDecoder
from segjax.layers.head import classifier
from segjax.layers.norm import slim_batch_norm
from segjax.layers.upsample import upsample


class Up(nn.Module):
  """Doubles the size; ReLU, norm, ReLU follow."""

  features: int
  upsampling: str  # See `Model`.
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x, train):
    x = upsample(
        self.upsampling,
        self.features,
        kernel=3,
        padding=(0, 1),
        bias=True,
        name='conv',
    )(x)
    return nn.relu(self.norm(train, name='norm')(nn.relu(x)))


class Model(nn.Module):
  """Convolutions to stride 32 and back, and a classifier."""

  num_classes: int
  width: int = 64  # Channels of the first stage.
  skip: bool = True  # Adds features of the encoder in the decoder.
  batch_at_test: bool = False  # See `BatchNorm`.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    norm = functools.partial(slim_batch_norm, batch_at_test=self.batch_at_test)
    x = EncoderDecoder(
        functools.partial(ConvNormAct, bias=True, norm=norm),
        functools.partial(Up, upsampling=self.upsampling, norm=norm),
        width=self.width,
        skip=self.skip,
        name='body',
    )(image, train)
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}
