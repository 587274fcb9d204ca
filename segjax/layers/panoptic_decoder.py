"""Decoder and heads of Panoptic-DeepLab, https://arxiv.org/abs/1911.10194."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import norm as norms
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import classifier
from segjax.ops.resize import resize

# Of the layers that predict, in the authors' code.
small_init = nn.initializers.normal(0.001)


class Decoder(nn.Module):
  """ASPP, and a 5x5 separable convolution at each finer level; figure 2."""

  features: int
  aspp_features: int
  # Of ASPP; without any, it is a 1x1 convolution, as Axial-DeepLab has it.
  rates: tuple[int, ...]
  levels: tuple[str, ...]  # Finer features that come in, coarsest first.
  low_features: tuple[int, ...]  # That each of them is reduced to.
  low_first: bool = False  # In the concatenations.
  separable: bool = False
  image_norm: bool = True  # Of ASPP's convolution of the image's mean.
  pool_bias: bool = False
  align_corners: bool = True
  dropout: float = 0.1
  norm: Callable[..., nn.Module] = norms.BatchNorm
  act: Callable = nn.relu

  @nn.compact
  def __call__(self, feats, train):
    if self.rates:
      aspp = ASPP(
          self.aspp_features,
          self.rates,
          separable=self.separable,
          norm=self.norm,
          image_norm=self.norm if self.image_norm else None,
          image_bias=self.pool_bias,
          act=self.act,
          name='aspp',
      )
    else:
      aspp = ConvNormAct(
          self.aspp_features,
          kernel=1,
          norm=self.norm,
          act=self.act,
          name='aspp',
      )
    x = aspp(feats['c5'], train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    for level, width in zip(self.levels, self.low_features, strict=True):
      low = ConvNormAct(
          width, kernel=1, norm=self.norm, act=self.act, name=f'low_{level}'
      )(feats[level], train)
      x = resize(x, low.shape[1:3], align_corners=self.align_corners)
      both = [low, x] if self.low_first else [x, low]
      x = SeparableConvNormAct(
          self.features,
          kernel=5,
          norm=self.norm,
          depthwise_act=self.act,
          act=self.act,
          name=f'fuse_{level}',
      )(jnp.concatenate(both, -1), train)
    return x


def panoptic_outputs(
    feats: Mapping[str, jax.Array],
    num_classes: int,
    size: tuple[int, int],
    train: bool,
    *,
    features: int,
    instance_features: int,
    head_features: int,
    low_features: tuple[int, ...],
    instance_low_features: tuple[int, ...],
    separable_center: bool = True,
    align_corners: bool = True,
    norm: Callable[..., nn.Module] = norms.BatchNorm,
    **decoder: Any,
) -> dict[str, Any]:
  """Computes classes, centres and offsets from the features of a backbone.

  Call it in the `__call__` of a model: the parameters are named 'semantic',
  'semantic_head' and 'classifier' there, and 'instance', 'center_head',
  'center', 'offset_head' and 'offset'.

  Args:
    feats: {level: features [B, h, w, C]}.
    num_classes: number of classes K.
    size: (height, width) of the outputs.
    train: whether dropout is on, and norms take statistics from the batch.
    features: channels of the decoder and head of classes.
    instance_features: those of the decoder of centres and offsets.
    head_features: those of the heads of centres and of offsets.
    low_features: channels that the decoder of classes reduces each level to.
    instance_low_features: the same of the other decoder.
    separable_center: whether the head of centres has a 5x5 separable
      convolution, else two 3x3 ones.
    align_corners: whether resizing aligns the centres of corner pixels.
    norm: of all convolutions but those that predict.
    **decoder: other fields of both decoders.

  Returns:
    `logits` [B, height, width, K]; `aux`, which is empty; `center` [B, height,
    width]; and `offset` [B, height, width, 2], in pixels of the outputs.
  """
  build = functools.partial(
      Decoder, align_corners=align_corners, norm=norm, **decoder
  )
  separable = functools.partial(SeparableConvNormAct, kernel=5, norm=norm)
  x = build(features, low_features=low_features, name='semantic')(feats, train)
  x = separable(features, name='semantic_head')(x, train)
  logits = classifier(num_classes, init=small_init)(x)

  y = build(
      instance_features, low_features=instance_low_features, name='instance'
  )(feats, train)
  if separable_center:
    heat = separable(head_features, name='center_head')(y, train)
  else:
    heat = y
    for i, width in enumerate((instance_features, head_features), 1):
      heat = ConvNormAct(width, norm=norm, name=f'center_head{i}')(heat, train)
  center = classifier(1, 'center', init=small_init)(heat)
  y = separable(head_features, name='offset_head')(y, train)
  offset = classifier(2, 'offset', init=small_init)(y)

  factors = scale(offset.shape[1:3], size, align_corners)
  offset = resize(offset, size, align_corners=align_corners)
  return {
      'logits': resize(logits, size, align_corners=align_corners),
      'aux': {},
      'center': resize(center, size, align_corners=align_corners)[..., 0],
      'offset': offset * jnp.asarray(factors, offset.dtype),
  }


def scale(
    old: Sequence[int], new: Sequence[int], align_corners: bool
) -> tuple[float, ...]:
  """Returns how many new pixels lie between two old ones, on each axis."""
  ends = int(align_corners)
  return tuple(
      (n - ends) / max(o - ends, 1) for o, n in zip(old, new, strict=True)
  )
