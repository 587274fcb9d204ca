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
from segjax.layers.norm import BatchNorm
from segjax.layers.upsample import UpsampleNormAct
from segjax.layers.upsample import upsample
from segjax.ops.pad import pad_to_multiple

SKIPS = ('c4_expanded', 'c3_expanded', 'c2_expanded', 'c1_expanded')

batch_norm = functools.partial(BatchNorm, momentum=0.99, epsilon=1e-3)


class Model(nn.Module):
  """MobileNetV2, four upsampling blocks with skips, and a fifth to scores."""

  num_classes: int
  backbone: str = 'mobilenet/v2_keras(expanded=True, last_norm=False)'
  features: tuple[int, int, int, int] = (512, 256, 128, 64)  # Of the decoder.
  # Whether norms of the backbone use running statistics in training, too. Its
  # parameters are frozen by `config.optim.factors`.
  frozen: bool = True
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, (*SKIPS, 'c5'), name='backbone')(
        pad_to_multiple(image, 32), train and not self.frozen
    )
    x = feats['c5']
    for i, (features, skip) in enumerate(
        zip(self.features, SKIPS, strict=True), 1
    ):
      x = UpsampleNormAct(
          self.upsampling,
          features,
          kernel=3,
          padding=(0, 1),
          norm=batch_norm,
          init=nn.initializers.normal(0.02),
          name=f'up{i}',
      )(x, train)
      x = jnp.concatenate([x, feats[skip]], -1)
    logits = upsample(
        self.upsampling,
        self.num_classes,
        kernel=3,
        padding=(0, 1),
        bias=True,
        kernel_init=nn.initializers.glorot_uniform(),
        name='classifier',
    )(x)
    height, width = image.shape[1:3]
    return {'logits': logits[:, :height, :width], 'aux': {}}
