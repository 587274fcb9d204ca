"""U-Net of TensorFlow's tutorial on image segmentation.

https://www.tensorflow.org/tutorials/images/segmentation. A MobileNetV2 that was
trained on ImageNet, https://arxiv.org/abs/1801.04381, is frozen; its decoder
has the upsampling blocks of pix2pix, https://arxiv.org/abs/1611.07004. Skips
are the wide features inside of blocks, so they have six times more channels
than the blocks return. Checked against the tutorial's own code with Keras 3.15.
Sides that are no multiples of 32 are padded with zeros, while the original
needs multiples.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvTranspose
from segjax.layers.conv import TransposedConvNormAct
from segjax.layers.norm import BatchNorm
from segjax.ops.pad import pad_to_multiple

SKIPS = ('c4_expanded', 'c3_expanded', 'c2_expanded', 'c1_expanded')

# Doubles the size.
up = functools.partial(
    TransposedConvNormAct,
    stride=2,
    padding=(0, 1),
    bias=False,
    norm=functools.partial(BatchNorm, momentum=0.99, epsilon=1e-3),
    init=nn.initializers.normal(0.02),
)


class Model(nn.Module):
  """MobileNetV2, four upsampling blocks with skips, and a fifth to scores."""

  num_classes: int
  backbone: str = 'mobilenet/v2_keras(expanded=True, last_norm=False)'
  features: tuple[int, int, int, int] = (512, 256, 128, 64)  # Of the decoder.
  # Whether norms of the backbone use running statistics in training, too. Its
  # parameters are frozen by `config.optim.factors`.
  frozen: bool = True

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, (*SKIPS, 'c5'), name='backbone')(
        pad_to_multiple(image, 32), train and not self.frozen
    )
    x = feats['c5']
    for i, (features, skip) in enumerate(
        zip(self.features, SKIPS, strict=True), 1
    ):
      x = up(features, name=f'up{i}')(x, train)
      x = jnp.concatenate([x, feats[skip]], -1)
    logits = ConvTranspose(
        self.num_classes,
        kernel=3,
        padding=(0, 1),
        bias=True,
        kernel_init=nn.initializers.glorot_uniform(),
        name='classifier',
    )(x)
    height, width = image.shape[1:3]
    return {'logits': logits[:, :height, :width], 'aux': {}}
