"""DPT, Dense Prediction Transformer, https://arxiv.org/abs/2103.13413.

Tokens of four depths of a vision transformer are put together into maps of four
resolutions (figure 1, middle), and units of two residual blocks fuse them from
coarse to fine (right). With readout 'project', the class token is joined to
every patch and a linear layer mixes both; 'add' adds it, and 'ignore' leaves it
out (section 3.1).

The default is the network of transformers 5.24, whose weights want a backbone
with `resize='bilinear', epsilon=1e-12`; those whose units have no batch norm,
but biases, want `fusion_norm=False`. That of segmentation-models-pytorch 0.6
has `coarsest_unit=True, aux_level=''` and a backbone with `resize='antialias'`.
All were checked. Those networks take sides that are multiples of 32; here what
is fused becomes as large as the next map, and images may have any size. The
auxiliary head reads the finest fused map, 'fusion3', as in transformers.
"""

import math

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import FCNHead
from segjax.layers.norm import BatchNorm
from segjax.layers.upsample import upsample
from segjax.ops.resize import resize

READOUTS = 'project', 'add', 'ignore'


class Model(nn.Module):
  """Vision transformer, maps of four blocks, fusion from coarse to fine."""

  num_classes: int
  backbone: str = "vit/base(image_size=(384, 384), resize='bilinear')"
  # Blocks that are read, counted from 0, the finest map first.
  taps: tuple[int, int, int, int] = (2, 5, 8, 11)
  readout: str = 'project'  # What becomes of the class token: `READOUTS`.
  widths: tuple[int, int, int, int] = (96, 192, 384, 768)  # Of the maps.
  features: int = 256
  coarsest_unit: bool = False  # Whether the first block has the coarsest map.
  fusion_norm: bool = True  # Batch norm in fusion; else a bias.
  dropout: float = 0.1
  aux_level: str = 'fusion3'  # Fused map of the auxiliary head; '' has none.
  upsampling: str = 'transposed'  # Of the maps, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.readout not in READOUTS:
      raise ValueError(
          f'readout={self.readout!r}: DPT has one of {", ".join(READOUTS)}.'
      )
    joined = self.readout != 'ignore'
    backbone = backbones.build(
        self.backbone,
        taps=tuple(self.taps),
        final_norm=False,
        class_taps=joined,
        name='backbone',
    )
    feats = backbone(image, train)
    maps = []
    for i, (tap, width) in enumerate(zip(self.taps, self.widths, strict=True)):
      x = feats[f'block{tap}']
      if joined:
        x = self._read(x, feats[f'class{tap}'], f'readout{i}')
      x = Reassemble(
          width, self.features, i, self.upsampling, name=f'reassemble{i}'
      )(x)
      maps.append(x)
    fused, x = {}, None
    for i, new in enumerate(reversed(maps)):
      finer = maps[2 - i].shape if i < 3 else [2 * side for side in new.shape]
      x = Fusion(
          self.features, self.coarsest_unit, self.fusion_norm, name=f'fusion{i}'
      )(new, x, tuple(finer[1:3]), train)
      fused[f'fusion{i}'] = x
    if self.aux_level and self.aux_level not in fused:
      raise ValueError(
          f'aux_level={self.aux_level!r} is one of {", ".join(fused)}, or'
          ' empty.'
      )
    # The last patches may be padding in part.
    patch, size = backbone.patch, image.shape[1:3]
    whole = [patch * math.ceil(side / patch) for side in size]

    def scores(level, name):
      head = FCNHead(self.num_classes, self.dropout, self.features, name=name)
      logits = resize(head(fused[level], train), whole, align_corners=True)
      return logits[:, : size[0], : size[1]]

    aux = {}
    if self.aux_level:
      aux[self.aux_level] = scores(self.aux_level, 'aux')
    return {'logits': scores('fusion3', 'head'), 'aux': aux}

  def _read(self, x, token, name):
    """Gives patches [B, h, w, C] what the class token [B, C] knows."""
    token = jnp.broadcast_to(token[:, None, None], x.shape)
    if self.readout == 'add':
      return x + token
    x = nn.Dense(x.shape[-1], name=name)(jnp.concatenate([x, token], -1))
    return nn.gelu(x, approximate=False)


class Reassemble(nn.Module):
  """Makes of a map of patches one that is 4, 2, 1 or 1/2 times as large."""

  width: int
  features: int
  level: int  # 0 for the finest, to 3.
  upsampling: str  # See `Model`.

  @nn.compact
  def __call__(self, x):
    x = conv(self.width, 1, bias=True, name='project')(x)
    if self.level < 2:
      factor = 4 >> self.level
      x = upsample(
          self.upsampling,
          self.width,
          factor,
          stride=factor,
          bias=True,
          name='resize',
      )(x)
    elif self.level == 3:
      x = conv(self.width, stride=2, bias=True, name='resize')(x)
    return conv(self.features, name='output')(x)


class Fusion(nn.Module):
  """Adds a map to what is fused of all coarser ones, and enlarges the sum."""

  features: int
  coarsest_unit: bool
  norm: bool  # See `Residual`.

  @nn.compact
  def __call__(self, new, coarser, size, train):
    """Returns [B, *size, features].

    Args:
      new: a map [B, h, w, features].
      coarser: what is fused so far, as large; None of the coarsest map.
      size: (height, width) of the result.
      train: whether norms take their statistics from the batch.
    """
    if coarser is not None or self.coarsest_unit:
      new = Residual(self.features, self.norm, name='unit1')(new, train)
    if coarser is not None:
      new += coarser
    x = Residual(self.features, self.norm, name='unit2')(new, train)
    # A 1x1 convolution and interpolation may change places.
    x = conv(self.features, 1, bias=True, name='project')(x)
    return resize(x, size, align_corners=True)


class Residual(nn.Module):
  """Adds two 3x3 convolutions, each of activated features, to a map."""

  features: int
  norm: bool  # Whether batch norm follows each convolution; else it has a bias.

  @nn.compact
  def __call__(self, x, train):
    y = x
    for name in ('conv1', 'conv2'):
      y = ConvNormAct(
          self.features,
          bias=not self.norm,
          norm=BatchNorm if self.norm else None,
          act=None,
          name=name,
      )(nn.relu(y), train)
    return x + y
