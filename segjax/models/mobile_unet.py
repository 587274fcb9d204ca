"""MobileUNet, https://github.com/GeorgeSeif/Semantic-Segmentation-Suite.

An encoder and decoder of depthwise separable convolutions, after MobileNet,
https://arxiv.org/abs/1704.04861; there is no paper of it. With `skip` it is the
MobileUNet-Skip, without it the MobileUNet. Both were checked against PyTorch
copies of the Suite's code.

The Suite never updates running statistics and normalises by those of the batch
in evaluation as well, `batch_at_test=True`; here running statistics are used,
so that a score does not depend on the other images.
"""

import functools

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.encoder_decoder import EncoderDecoder
from segjax.layers.head import classifier
from segjax.layers.norm import slim_batch_norm
from segjax.layers.upsample import UpsampleNormAct


class Model(nn.Module):
  """Separable convolutions to stride 32 and back, and a classifier."""

  num_classes: int
  width: int = 64  # Channels of the first stage.
  skip: bool = True  # Adds features of the encoder in the decoder.
  batch_at_test: bool = False  # See `BatchNorm`.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    norm = functools.partial(slim_batch_norm, batch_at_test=self.batch_at_test)
    x = EncoderDecoder(
        functools.partial(SeparableConvNormAct, bias=True, norm=norm),
        functools.partial(
            UpsampleNormAct,
            self.upsampling,
            kernel=3,
            padding=(0, 1),
            bias=True,
            norm=norm,
        ),
        functools.partial(ConvNormAct, kernel=1, bias=True, norm=norm),
        width=self.width,
        skip=self.skip,
        name='body',
    )(image, train)
    return {'logits': classifier(self.num_classes)(x), 'aux': {}}
