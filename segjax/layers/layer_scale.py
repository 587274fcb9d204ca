"""Learnt factors of the channels of a branch."""

from flax import linen as nn


class LayerScale(nn.Module):
  """Multiplies each channel by a learnt factor, which begins small.

  A deep network of such branches begins near the identity; CaiT,
  https://arxiv.org/abs/2103.17239, section 2.2.
  """

  init: float

  @nn.compact
  def __call__(self, x):
    init = nn.initializers.constant(self.init)
    scale = self.param('scale', init, x.shape[-1:])
    return x * scale.astype(x.dtype)
