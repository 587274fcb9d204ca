"""SETR, https://arxiv.org/abs/2012.15840.

A vision transformer reads an image as a sequence of patches and keeps their
resolution through all blocks; a plain decoder turns the patches into scores of
pixels. There are three decoders:

  'naive'  one 1x1 convolution, then upsampling;
  'pup'    progressive upsampling: a 3x3 convolution before each factor of 2;
  'mla'    multi-level aggregation of blocks of four depths, with
           `taps=(5, 11, 17, 23), aux_taps=(23, 17, 11, 5), aux_steps=0`.

This is the network of mmsegmentation 1.2.2, against which each decoder was
checked. The authors' own code (fudan-zvg/SETR) differs: its naive decoder
enlarges features to the image at once instead of by 4 twice, its aggregation
aligns corners and has a 3x3 classifier, and its progressive upsampling has a
fourth auxiliary head, `aux_taps=(9, 14, 19, 23)`.
"""

import math

from flax import linen as nn
import jax.numpy as jnp

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.layers.norm import layer_norm
from segjax.ops.resize import resize

DECODERS = 'naive', 'pup', 'mla'


class Model(nn.Module):
  """Vision transformer, one of three decoders, and auxiliary heads.

  The auxiliary logits of block 9 are named 'block9'. With 'mla', they are those
  of the sum of that block and all deeper ones.
  """

  num_classes: int
  backbone: str = 'vit/large(image_size=(768, 768), patch_bias=False)'
  decoder: str = 'pup'  # 'naive', 'pup' or 'mla'.
  # Blocks that the decoder reads, counted from 0: one, but with 'mla'.
  taps: tuple[int, ...] = (23,)
  # Blocks with auxiliary heads; with 'mla', some of `taps`.
  aux_taps: tuple[int, ...] = (9, 14, 19)
  # Convolutions of an auxiliary head, each followed by upsampling by 4; with 0
  # it is a classifier.
  aux_steps: int = 1
  features: int = 256

  @nn.compact
  def __call__(self, image, *, train=False):
    self._check()
    backbone = backbones.build(
        self.backbone,
        taps=tuple(sorted({*self.taps, *self.aux_taps})),
        class_token=self.decoder != 'mla',
        final_norm=False,
        resize='bilinear',
        name='backbone',
    )
    feats = backbone(image, train)
    kernel = 1 if self.decoder == 'naive' else 3
    if self.decoder == 'mla':
      levels = [f'block{tap}' for tap in sorted(self.taps)]
      neck = Aggregation(self.features, name='neck')
      feats = neck({level: feats[level] for level in levels}, train)
      decoder = BranchHead(self.num_classes, self.features // 2, name='decoder')
      logits = decoder([feats[level] for level in reversed(levels)], train)
    else:
      # 'pup' doubles until there is a position for every pixel.
      doublings = round(math.log2(backbone.patch))
      logits = UpsamplingHead(
          self.num_classes,
          self.features,
          kernel,
          steps=1 if self.decoder == 'naive' else doublings,
          factor=4 if self.decoder == 'naive' else 2,
          name='decoder',
      )(feats[f'block{self.taps[0]}'], train)
    aux = {}
    for i, tap in enumerate(self.aux_taps):
      aux[f'block{tap}'] = UpsamplingHead(
          self.num_classes,
          self.features,
          kernel,
          steps=self.aux_steps,
          factor=4,
          name=f'aux{i}',
      )(feats[f'block{tap}'], train)

    def enlarge(x):
      # The last patches may be padding in part.
      size = [math.ceil(side / backbone.patch) for side in image.shape[1:3]]
      x = resize(x, [backbone.patch * side for side in size])
      return x[:, : image.shape[1], : image.shape[2]]

    return {
        'logits': enlarge(logits),
        'aux': {name: enlarge(x) for name, x in aux.items()},
    }

  def _check(self):
    """Raises ValueError if the decoder is unknown or reads other blocks."""
    if self.decoder not in DECODERS:
      raise ValueError(
          f'decoder={self.decoder!r}: SETR has one of {", ".join(DECODERS)}.'
      )
    if self.decoder != 'mla' and len(self.taps) != 1:
      raise ValueError(
          f'taps={self.taps}: the decoder {self.decoder!r} reads one block.'
          ' Name the blocks with auxiliary heads in aux_taps.'
      )
    if self.decoder == 'mla' and not set(self.aux_taps) <= set(self.taps):
      raise ValueError(
          f"aux_taps={self.aux_taps}: with the decoder 'mla', auxiliary heads"
          f' read sums of the blocks taps={self.taps}: choose among these.'
      )


class Convs(nn.Module):
  """Applies convolutions of equal width, each with batch norm and ReLU."""

  features: int
  kernel: int
  depth: int = 1  # Number of convolutions.

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.depth):
      x = ConvNormAct(self.features, self.kernel, name=f'conv{i}')(x, train)
    return x


class UpsamplingHead(nn.Module):
  """Applies a norm and steps of a convolution and upsampling, and classifies.

  Upsampling and a 1x1 classifier may change places, so the last step classifies
  before it enlarges. Without steps the head is a classifier alone.
  """

  num_classes: int
  features: int
  kernel: int
  steps: int
  factor: int  # Of the upsampling in each step.

  @nn.compact
  def __call__(self, x, train):
    if self.steps:
      x = layer_norm('norm')(x)
    for i in range(self.steps):
      if i:
        x = upsample(x, self.factor)
      x = Convs(self.features, self.kernel, name=f'step{i}')(x, train)
    x = classifier(self.num_classes)(x)
    return upsample(x, self.factor) if self.steps else x


class Aggregation(nn.Module):
  """Replaces blocks by sums of themselves and all deeper ones.

  Takes and returns {block: features [B, h, w, C]}, the deepest block last. The
  convolutions `output` are numbered from the deepest block on.
  """

  features: int

  @nn.compact
  def __call__(self, feats, train):
    projected = {}
    for i, (block, x) in enumerate(feats.items()):
      x = layer_norm(f'norm{i}')(x)
      projected[block] = ConvNormAct(
          self.features, kernel=1, name=f'project{i}'
      )(x, train)
    total, outputs = 0.0, {}
    for i, block in enumerate(reversed(feats)):
      total += projected[block]
      outputs[block] = ConvNormAct(self.features, name=f'output{i}')(
          total, train
      )
    return outputs


class BranchHead(nn.Module):
  """Applies two convolutions to each map, joins all and classifies.

  The classifier comes before the upsampling by 4, as in `UpsamplingHead`.
  """

  num_classes: int
  features: int

  @nn.compact
  def __call__(self, levels, train):
    branches = [
        Convs(self.features, kernel=3, depth=2, name=f'step{i}')(x, train)
        for i, x in enumerate(levels)
    ]
    x = classifier(self.num_classes)(jnp.concatenate(branches, -1))
    return upsample(x, 4)


def upsample(x, factor):
  """Enlarges both sides of a map by a factor, bilinearly."""
  return resize(x, [factor * side for side in x.shape[1:3]])
