"""FD-Net, a fully dilated network, https://github.com/beargolden/FD-Net.

Xiong et al., PRCV 2021, https://doi.org/10.1007/978-3-030-88004-0_42. This
U-Net has dilated convolutions, with rates that have no common factor, in place
of pooling and upsampling, so every feature map has the size of the image.
Checked against a PyTorch network built from the authors' Keras code. Lists of
systems from before 2021 that name a fully dilated network, without a link, most
likely mean DilatedNet, https://arxiv.org/abs/1511.07122.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv


class Model(nn.Module):
  """Encoder and decoder at the size of the image, with skips and no norm."""

  num_classes: int
  features: int = 32  # Channels of the first level; they double with each.
  rates: tuple[int, ...] = (2, 3, 5, 7)  # Dilation of each level.

  @nn.compact
  def __call__(self, image, *, train=False):

    def layer(level, dilation=1, *, name):
      return ConvNormAct(
          self.features * 2**level,
          dilation=dilation,
          bias=True,
          norm=None,
          name=name,
      )

    def two_layers(x, level, name):
      x = layer(level, name=f'{name}_conv1')(x, train)
      return layer(level, name=f'{name}_conv2')(x, train)

    x, skips = image, []
    for i, rate in enumerate(self.rates):
      x = two_layers(x, i, f'encode{i}')
      skips.append(x)
      x = layer(i, rate, name=f'down{i}')(x, train)
    x = two_layers(x, len(self.rates), 'middle')
    for i, rate in reversed(list(enumerate(self.rates))):
      x = layer(i, rate, name=f'up{i}')(x, train)
      x = two_layers(jnp.concatenate([skips[i], x], -1), i, f'decode{i}')
    logits = conv(self.num_classes, bias=True, name='classifier')(x)
    return {'logits': logits, 'aux': {}}
