"""U-Net, https://arxiv.org/abs/1505.04597.

An encoder (contracting path) pools four times, and a decoder (expanding path)
enlarges as often and concatenates the encoder's features of the same size
(figure 1). The defaults are mmsegmentation 1.2.2's UNet-S5-D16 with an FCN
head: padded convolutions, batch norm and bilinear upsampling. The paper has
unpadded convolutions, which lose a `halo`, and transposed ones: `padded=False,
dropout=0.5, aux_level=''`; the weights that its authors released need
`last_up=128` as well. The former was checked against mmsegmentation, the latter
against a network built from the paper with the names of the released weights.

That of yassouali/pytorch-segmentation has `narrow=True, aux_level=''`: batch
norm, transposed convolutions, and half the channels between the two of a level.
It is written after that code, and was not compared.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import he_fan_in
from segjax.layers.double_conv import DoubleConv
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.layers.upsample import upsample
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

LEVELS = 5
HALO = 92  # Pixels that the unpadded convolutions lose on each side.
# He et al. 2015 with fan-in: section 3 of the paper.


unpadded_conv = functools.partial(
    ConvNormAct, padding=0, bias=True, norm=None, init=he_fan_in
)


class Up(nn.Module):
  """Enlarges features, appends those of the encoder, and convolves twice."""

  features: int  # Channels of the output.
  up_features: int  # Channels of the enlarged features.
  padded: bool
  upsampling: str  # Unpadded; see `layers.upsample`.

  @nn.compact
  def __call__(self, x, skip, train):
    if self.padded:
      x = resize(x, skip.shape[1:3])
      x = ConvNormAct(self.up_features, kernel=1, name='up')(x, train)
      x = jnp.concatenate([skip, x], -1)
    else:
      x = upsample(
          self.upsampling,
          self.up_features,
          bias=True,
          kernel_init=he_fan_in,
          name='up',
      )(x)
      # The released network has this ReLU; the paper does not mention it.
      x = nn.relu(x)
      x = jnp.concatenate([x, _crop(skip, x.shape[1:3])], -1)
    conv = ConvNormAct if self.padded else unpadded_conv
    return DoubleConv(self.features, conv, name='convs')(x, train)


class Model(nn.Module):
  """Encoder with four poolings, and decoder with a skip at each level."""

  num_classes: int
  width: int = 64  # Channels of the first level; they double with each.
  padded: bool = True
  # How the unpadded and the narrow one enlarge, see `layers.upsample`.
  upsampling: str = 'transposed'
  last_up: int = 0  # Channels that the last upsampling makes; 0: `width`.
  dropout: float = 0.1  # Before the classifier; unpadded: in levels 3 and 4.
  aux_level: str = 'up1'  # Level of the auxiliary head; '' omits it.
  narrow: bool = False  # The network of yassouali, see above.

  @property
  def halo(self):
    """Pixels by which the logits are smaller than the image on each side."""
    return 0 if self.padded else HALO

  @nn.compact
  def __call__(self, image, *, train=False):
    if not self.padded and self.aux_level:
      raise ValueError(
          f'aux_level={self.aux_level!r}: only a padded U-Net has an auxiliary'
          " head; set aux_level=''."
      )
    if self.narrow:
      if not self.padded or self.aux_level:
        raise ValueError(
            f'narrow=True with padded={self.padded} and'
            f' aux_level={self.aux_level!r}: this network is padded and has no'
            " auxiliary head; set padded=True and aux_level=''."
        )
      return {'logits': self._narrow(image, train), 'aux': {}}
    size = tuple(side - 2 * self.halo for side in image.shape[1:3])
    x = image if self.padded else _fit(image)
    conv = ConvNormAct if self.padded else unpadded_conv
    skips, feats = [], {}
    for level in range(LEVELS):
      if level:
        x = max_pool(x, (2, 2), (2, 2))
      features = self.width * 2**level
      x = DoubleConv(features, conv, name=f'down{level}')(x, train)
      if not self.padded and level >= LEVELS - 2:
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
      skips.append(x)
    for level in reversed(range(LEVELS - 1)):
      features = self.width * 2**level
      x = Up(
          features,
          features if level else self.last_up or features,
          self.padded,
          self.upsampling,
          name=f'up{level}',
      )(x, skips[level], train)
      feats[f'up{level}'] = x

    if self.padded:
      x = ConvNormAct(self.width, name='fuse')(x, train)
      x = nn.Dropout(self.dropout)(x, deterministic=not train)
    logits = classifier(self.num_classes)(x)
    head = FCNHead(self.num_classes, self.dropout, self.width, name='aux')
    return {
        'logits': logits[:, : size[0], : size[1]],
        'aux': auxiliary(head, feats, self.aux_level, size, train),
    }

  def _narrow(self, image, train):
    """Returns scores of the network of yassouali, [B, H, W, K]."""

    def convs(x, features, name):
      for i, width in enumerate((features // 2, features), 1):
        x = ConvNormAct(width, name=f'{name}_conv{i}')(x, train)
      return x

    x = convs(image, self.width, 'down0')
    skips = [x]
    for level in range(1, LEVELS):
      x = convs(x, self.width * 2**level, f'down{level}')
      # Odd sides are rounded up.
      padding = tuple((0, side % 2) for side in x.shape[1:3])
      x = max_pool(x, (2, 2), (2, 2), padding)
      skips.append(x)
    x = convs(skips.pop(), x.shape[-1], 'middle')
    for level in reversed(range(LEVELS - 1)):
      x = upsample(
          self.upsampling, x.shape[-1] // 2, bias=True, name=f'up{level}'
      )(x)
      skip = skips[level]
      x = resize(x, skip.shape[1:3], align_corners=True)
      x = jnp.concatenate([skip, x], -1)
      x = convs(x, self.width * 2**level, f'up{level}')
    return classifier(self.num_classes)(x)


def _crop(x, size):
  """Crops the centre of features [B, H, W, C] to `size` (height, width)."""
  top, left = (
      (old - new) // 2 for old, new in zip(x.shape[1:3], size, strict=True)
  )
  return x[:, top : top + size[0], left : left + size[1]]


def _fit(image):
  """Pads images [B, H, W, C] so that all poolings have even sides.

  Images are mirrored at the bottom and on the right. The caller cuts off the
  logits of the added pixels.
  """
  height, width = image.shape[1:3]
  if min(height, width) <= 2 * HALO:
    raise ValueError(
        f'The image of {height} x {width} is too small for the unpadded'
        f' convolutions, which lose {HALO} pixels on each side. Give one of at'
        f' least {2 * HALO + 4} pixels a side, or set padded=True.'
    )
  bottom, right = (-(side - 2 * HALO - 4) % 16 for side in (height, width))
  missing = ((0, 0), (0, bottom), (0, right), (0, 0))
  return jnp.pad(image, missing, mode='reflect')
