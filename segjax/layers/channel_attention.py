"""Attention to channels, and to channels and places at once."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import conv


class ChannelAttention(nn.Module):
  """Multiplies each channel by a weight from its mean over the image.

  The means of a channel and of its neighbours are convolved, and a sigmoid
  makes weights of them: ECA-Net, https://arxiv.org/abs/1910.03151, section 3.2.
  """

  kernel: int = 3  # Channels that a weight depends on.

  @nn.compact
  def __call__(self, x):
    mean = x.mean((1, 2))[..., None]
    scores = nn.Conv(
        1, (self.kernel,), padding=self.kernel // 2, use_bias=False, name='conv'
    )(mean)
    return x * jax.nn.sigmoid(scores)[:, None, None, :, 0]


class Excitation(nn.Module):
  """Computes a weight for each channel from the means of all channels.

  Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507, figure 2:
  two linear layers, with a ReLU between them and a sigmoid at the end.
  """

  reduction: int = 16  # Divides the channels of the hidden layer.

  @nn.compact
  def __call__(self, x):
    """Returns weights [B, 1, 1, C] for x [B, H, W, C]."""
    channels = x.shape[-1]
    hidden = max(channels // self.reduction, 1)
    y = x.mean((1, 2), keepdims=True)
    y = nn.relu(conv(hidden, 1, bias=True, name='squeeze')(y))
    return nn.sigmoid(conv(channels, 1, bias=True, name='excite')(y))


class SCSE(nn.Module):
  """Weights channels by the image, and places by their channels.

  scSE, https://arxiv.org/abs/1803.02579, section 2.3: features weighted by an
  `Excitation` and features weighted by a 1x1 convolution with a sigmoid are
  combined. Both the paper and segmentation_models_pytorch add them,
  `combine='sum'`; the code of the paper's authors takes the larger of the two
  in each place and channel, 'max'. The paper's reduction is 2.
  """

  combine: str = 'sum'
  reduction: int = 16  # See `Excitation`.

  @nn.compact
  def __call__(self, x):
    if self.combine not in COMBINE:
      raise ValueError(
          f'scSE has no combination {self.combine!r}. Known:'
          f' {", ".join(COMBINE)}.'
      )
    channels = x * Excitation(self.reduction, name='channels')(x)
    places = x * nn.sigmoid(conv(1, 1, bias=True, name='places')(x))
    return COMBINE[self.combine](channels, places)


COMBINE = {'sum': jnp.add, 'max': jnp.maximum}
