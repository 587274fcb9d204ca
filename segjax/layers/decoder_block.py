"""The step of a U-Net's decoder: enlarge, append a skip, convolve twice."""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.channel_attention import SCSE
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import ResizeConvNormAct
from segjax.ops.resize import resize


class DecoderBlock(nn.Module):
  """Enlarges features, appends the skip, and applies two 3x3 convolutions.

  U-Net, https://arxiv.org/abs/1505.04597, figure 1, as most code for any
  backbone has it: features are enlarged by repeating pixels, whatever the size
  of the skip is, so that odd sides need no cropping, and come before it.
  """

  features: int
  scse: str = ''  # `combine` of an `SCSE` before and after; '' has neither.
  reduction: int = 16  # Of an `SCSE`.

  @remat.block
  @nn.compact
  def __call__(self, x, like, skip, train):
    """Returns [B, height, width, features].

    Args:
      x: features to enlarge, [B, h, w, C].
      like: an array of the new size, [B, height, width, D].
      skip: features to append, [B, height, width, S], or None.
      train: whether norms take their statistics from the batch.
    """
    size = like.shape[1:3]
    if self.scse and skip is not None:
      x = resize(x, size, method='nearest')
      x = jnp.concatenate([x, skip], -1)
      x = SCSE(self.scse, self.reduction, name='scse1')(x)
      x = ConvNormAct(self.features, name='conv1')(x, train)
    else:
      x = ResizeConvNormAct(self.features, name='conv1')(x, skip, size, train)
    x = ConvNormAct(self.features, name='conv2')(x, train)
    if self.scse:
      x = SCSE(self.scse, self.reduction, name='scse2')(x)
    return x
