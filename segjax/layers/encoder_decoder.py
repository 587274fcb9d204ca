"""Encoder with max pooling, and decoder with transposed convolutions."""

from collections.abc import Callable

from flax import linen as nn

from segjax.layers.unpooling import VGG16
from segjax.layers.unpooling import width_of
from segjax.ops.pad import pad_to_multiple
from segjax.ops.pool import max_pool


class EncoderDecoder(nn.Module):
  """Halves the size five times, and doubles it as often.

  The layout is SegNet's, with transposed convolutions in the place of
  unpooling: the Encoder-Decoder and the MobileUNet of GeorgeSeif's
  Semantic-Segmentation-Suite differ in their convolutions alone.

  Attributes:
    block: `block(features, name=...)` returns a convolution with its norm,
      which is called with `(x, train)`.
    up: the same of a layer that doubles the size.
    first: the same of the very first convolution; None takes `block`.
    depths: number of convolutions of each stage.
    width: channels of the first stage.
    skip: adds what leaves each pool, but the last, to what the decoder has at
      that size.
  """

  block: Callable[..., nn.Module]
  up: Callable[..., nn.Module]
  first: Callable[..., nn.Module] | None = None
  depths: tuple[int, ...] = VGG16
  width: int = 64
  skip: bool = False

  @nn.compact
  def __call__(self, image, train):
    """Returns features [B, H, W, width] of images [B, H, W, C].

    Sides that are no multiples of 32 are padded with zeros, and what is
    computed for these is cut off.
    """
    x, skips = pad_to_multiple(image, 2 ** len(self.depths)), []
    for stage, depth in enumerate(self.depths, 1):
      for i in range(1, depth + 1):
        layer = self.first if self.first and stage == i == 1 else self.block
        features = width_of(stage, self.width)
        x = layer(features, name=f'down{stage}_{i}')(x, train)
      x = max_pool(x, (2, 2), (2, 2))
      skips.append(x)
    skips.pop()
    for stage in range(len(self.depths), 0, -1):
      x = self.up(x.shape[-1], name=f'up{stage}')(x, train)
      depth = self.depths[stage - 1]
      for i in range(1, depth + 1):
        # The last one has the channels of the next stage.
        features = width_of(stage - (i == depth), self.width)
        x = self.block(features, name=f'up{stage}_{i}')(x, train)
      if self.skip and skips:
        x += skips.pop()
    return x[:, : image.shape[1], : image.shape[2]]
