"""Attention to channels, by a convolution over them."""

from flax import linen as nn
import jax


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
