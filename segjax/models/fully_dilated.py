"""FD-Net, a fully dilated network, https://github.com/beargolden/FD-Net.

Xiong et al., PRCV 2021, https://doi.org/10.1007/978-3-030-88004-0_42. A U-Net
that neither pools nor enlarges: dilated convolutions, of rates without a common
factor, take the place of both, and every feature map has the size of the image.
Checked against a PyTorch network built from the authors' Keras code. Lists that
are older than it and name a fully dilated network, without a link, most likely
mean DilatedNet, https://arxiv.org/abs/1511.07122.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv


class Model(nn.Module):
  """Encoder and decoder at full size, with skips; no norm."""

  num_classes: int
  features: int = 32  # Of the first level; they double with each.
  rates: tuple[int, ...] = (2, 3, 5, 7)  # Of each level.

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

    def two(x, level, name):
      x = layer(level, name=f'{name}_conv1')(x, train)
      return layer(level, name=f'{name}_conv2')(x, train)

    x, skips = image, []
    for i, rate in enumerate(self.rates):
      x = two(x, i, f'encode{i}')
      skips.append(x)
      x = layer(i, rate, name=f'down{i}')(x, train)
    x = two(x, len(self.rates), 'middle')
    for i, rate in reversed(list(enumerate(self.rates))):
      x = layer(i, rate, name=f'up{i}')(x, train)
      x = two(jnp.concatenate([skips[i], x], -1), i, f'decode{i}')
    logits = conv(self.num_classes, bias=True, name='classifier')(x)
    return {'logits': logits, 'aux': {}}
