"""U-Net, https://arxiv.org/abs/1505.04597.

A contracting path says what is there, an expanding one where it is: at each
level it takes the features of the contracting path that have its size (figure
1). The defaults are the network of today, as mmsegmentation 1.2.2 builds it
(UNet-S5-D16 with an FCN head): padded convolutions, batch norm, bilinear
upsampling. The paper's has unpadded convolutions, which lose a `halo`, and
transposed ones: `padded=False, dropout=0.5, aux_level=''`; the weights that its
authors released want `last_up=128` too. The first was checked against
mmsegmentation, the second against a network after the paper that has the names
of the release.
"""

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import ConvTranspose
from segjax.layers.head import FCNHead
from segjax.layers.head import auxiliary
from segjax.layers.head import classifier
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

LEVELS = 5
HALO = 92  # Pixels that the unpadded convolutions lose on each side.
# He et al. 2015 with fan-in, as section 3 of the paper says.
he_normal = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


class DoubleConv(nn.Module):
  """The two 3x3 convolutions of a level."""

  features: int
  padded: bool

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    for i in (1, 2):
      if self.padded:
        x = ConvNormAct(self.features, name=f'conv{i}')(x, train)
      else:
        x = ConvNormAct(
            self.features,
            padding=0,
            bias=True,
            norm=None,
            init=he_normal,
            name=f'conv{i}',
        )(x, train)
    return x


class Up(nn.Module):
  """Enlarges features and joins those of the contracting path to them."""

  features: int
  up_features: int
  padded: bool

  @nn.compact
  def __call__(self, x, skip, train):
    if self.padded:
      x = resize(x, skip.shape[1:3])
      x = ConvNormAct(self.up_features, kernel=1, name='up')(x, train)
      x = jnp.concatenate([skip, x], -1)
    else:
      x = ConvTranspose(
          self.up_features, bias=True, kernel_init=he_normal, name='up'
      )(x)
      x = nn.relu(x)  # The released network has it, the paper is silent.
      x = jnp.concatenate([x, _crop(skip, x.shape[1:3])], -1)
    return DoubleConv(self.features, self.padded, name='convs')(x, train)


class Model(nn.Module):
  """Four poolings down, as many enlargements up, a skip at each level."""

  num_classes: int
  width: int = 64  # Features of the first level; they double with each.
  padded: bool = True
  last_up: int = 0  # Features of the last enlargement; 0: those of its level.
  dropout: float = 0.1  # Before the classifier; unpadded, at the bottom.
  aux_level: str = 'up1'  # That an auxiliary head is on; '': there is none.

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
    size = tuple(side - 2 * self.halo for side in image.shape[1:3])
    x = image if self.padded else _fit(image)
    skips, feats = [], {}
    for level in range(LEVELS):
      if level:
        x = max_pool(x, (2, 2), (2, 2))
      features = self.width * 2**level
      x = DoubleConv(features, self.padded, name=f'down{level}')(x, train)
      if not self.padded and level >= LEVELS - 2:
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
      skips.append(x)
    for level in reversed(range(LEVELS - 1)):
      features = self.width * 2**level
      x = Up(
          features,
          features if level else self.last_up or features,
          self.padded,
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


def _crop(x, size):
  """Returns the middle of features [B, H, W, C], of the size."""
  top, left = (
      (old - new) // 2 for old, new in zip(x.shape[1:3], size, strict=True)
  )
  return x[:, top : top + size[0], left : left + size[1]]


def _fit(image):
  """Grows an image until every pooling comes out even.

  It is mirrored at the bottom and on the right; what that adds to the logits
  is cut off again.
  """
  height, width = image.shape[1:3]
  if min(height, width) <= 2 * HALO:
    raise ValueError(
        f'Of an image of {height} x {width} the unpadded convolutions of a'
        f' U-Net leave nothing: they take {HALO} pixels on each side. Give a'
        f' larger one, {2 * HALO + 4} at least, or set padded=True.'
    )
  bottom, right = (-(side - 2 * HALO - 4) % 16 for side in (height, width))
  missing = ((0, 0), (0, bottom), (0, right), (0, 0))
  return jnp.pad(image, missing, mode='reflect')
