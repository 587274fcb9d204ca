"""Feature pyramid, and what a head for segmentation makes of it."""

from collections.abc import Callable

from flax import linen as nn

from segjax.layers.conv import ConvNormAct
from segjax.ops.resize import resize


class FPN(nn.Module):
  """Brings what coarse levels know down to the finer ones.

  Feature Pyramid Networks, https://arxiv.org/abs/1612.03144, figure 3: from
  the coarsest level on, a 1x1 convolution of each is added to the enlarged sum
  of the levels above; a 3x3 convolution of each sum is the pyramid. There, and
  by default here, without norm or activation.
  """

  features: int = 256
  norm: Callable[..., nn.Module] | None = None
  act: Callable | None = None
  method: str = 'nearest'  # Of the enlarging, see `resize`.
  smooth: bool = True  # Whether the 3x3 convolutions end it.

  @nn.compact
  def __call__(self, feats, train, top=None):
    """Returns {level: [B, h, w, features]}, with the levels of `feats`.

    Args:
      feats: {level: [B, h, w, C]}, the finest first.
      train: whether norms take their statistics from the batch.
      top: [B, h, w, features], what the coarsest level is added to, if there is
        anything above.
    """

    def layer(kernel, name):
      return ConvNormAct(
          self.features,
          kernel=kernel,
          bias=self.norm is None,
          norm=self.norm,
          act=self.act,
          name=name,
      )

    pyramid, above = {}, top
    for level in reversed(feats):
      x = layer(1, f'lateral_{level}')(feats[level], train)
      if above is not None:
        x += resize(above, x.shape[1:3], method=self.method)
      above = pyramid[level] = x
      if self.smooth:
        pyramid[level] = layer(3, f'output_{level}')(x, train)
    return {level: pyramid[level] for level in feats}


def sum_levels(pyramid, features, norm, train, *, align_corners=False):
  """Returns the levels of a pyramid, summed at the size of the finest.

  Panoptic Feature Pyramid Networks, https://arxiv.org/abs/1901.02446, figure 3:
  each level is enlarged in steps of two, with a convolution before each step.
  The convolutions become `c2_conv1` to `c5_conv3` of the module that calls.

  Args:
    pyramid: {level: [B, h, w, C]}, the finest first, each half as large as the
      one before.
    features: channels of the convolutions.
    norm: of the convolutions, see `ConvNormAct`.
    train: whether norms take their statistics from the batch.
    align_corners: whether enlarging aligns the centres of corner pixels.
  """
  total, finest = 0, next(iter(pyramid.values())).shape[1:3]
  for doublings, (level, x) in enumerate(pyramid.items()):
    for i in range(1, max(doublings, 1) + 1):
      x = ConvNormAct(features, norm=norm, name=f'{level}_conv{i}')(x, train)
      if doublings:
        double = 2 * x.shape[1], 2 * x.shape[2]
        x = resize(x, double, align_corners=align_corners)
    # Sides that do not divide by 32 have become longer than the finest.
    total += resize(x, finest, align_corners=align_corners)
  return total
