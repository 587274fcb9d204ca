"""Small networks for phenotyping, https://doi.org/10.1007/s00138-019-01051-7.

Atanbori, French and Pridmore: three decoders, of an FCN, a SegNet and of
sub-pixel convolution, on an encoder like VGG's with three pools, whose 3x3
convolutions are depthwise separable. `separable=False` are the networks before
they are made small. `segjax.tools.truncate` then truncates trained weights.
They follow the authors' Keras code (Amotica/Low-Cost-Plant-Phenotyping), and
were checked against networks that were built from it. As that code runs, its
SegNet enlarges by repeating pixels, where the paper has the indices of the
pools. The authors score whole multiples of 8 pixels: here the last scores
repeat beyond them.
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import conv
from segjax.layers.head import classifier
from segjax.layers.norm import BatchNorm
from segjax.ops.pixel_shuffle import depth_to_space
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

DECODERS = ('fcn', 'segnet', 'subpixel')
DEPTHS = (2, 2, 3, 3)  # Convolutions of the stages of the encoder.
STRIDE = 8
# Keras' batch norm.
batch_norm = functools.partial(BatchNorm, momentum=0.99, epsilon=1e-3)


class Unit(nn.Module):
  """Applies a 3x3 convolution, separable or not, batch norm and ReLU."""

  features: int
  separable: bool = True  # Without a norm between its two convolutions.

  @nn.compact
  def __call__(self, x, train):
    if self.separable:
      x = conv(x.shape[-1], groups=x.shape[-1], name='depthwise')(x)
      x = conv(self.features, 1, bias=True, name='pointwise')(x)
    else:
      x = conv(self.features, bias=True, name='conv')(x)
    return nn.relu(batch_norm(train, name='norm')(x))


class Model(nn.Module):
  """Encoder, and one of three decoders."""

  num_classes: int
  decoder: str = 'fcn'  # One of `DECODERS`.
  separable: bool = True
  # Channels of the first stage, which double three times; for the sub-pixel
  # decoder a multiple of 8.
  width: int = 64

  @nn.compact
  def __call__(self, image, *, train=False):
    if self.decoder not in DECODERS:
      raise ValueError(
          f'decoder={self.decoder!r} is not one of {", ".join(DECODERS)}.'
      )
    x, pools = image, []
    for stage, depth in enumerate(DEPTHS, 1):
      for i in range(1, depth + 1):
        # Only the sub-pixel network makes its first convolution small.
        first = (stage, i) == (1, 1) and self.decoder != 'subpixel'
        x = Unit(
            self.width * 2 ** (stage - 1),
            self.separable and not first,
            name=f'encode{stage}_{i}',
        )(x, train)
      if stage < len(DEPTHS):
        x = max_pool(x, (2, 2), (2, 2))
        pools.append(x)
    if self.decoder == 'fcn':
      x = self.sum_of_scores(x, pools)
    elif self.decoder == 'segnet':
      x = self.mirrored(x, train)
    else:
      x = depth_to_space(x, STRIDE)
    scores = classifier(self.num_classes)(x)
    return {'logits': extend(scores, image.shape[1:3]), 'aux': {}}

  def sum_of_scores(self, x, pools):
    """Adds scores of the pools to those of `x`, from coarse to fine."""
    x = classifier(self.num_classes, name='score4')(x)
    for i in (3, 2, 1):
      score = classifier(self.num_classes, name=f'score{i}')(pools[i - 1])
      rows, columns = x.shape[1:3]  # A pool may have one more.
      x = twice(x + score[:, :rows, :columns])
    return x

  def mirrored(self, x, train):
    """Applies the stages of the encoder in reverse, enlarging in between."""
    for stage in range(len(DEPTHS), 0, -1):
      for i in range(1, DEPTHS[stage - 1] + 1):
        x = Unit(
            self.width * 2 ** (stage - 1),
            self.separable,
            name=f'decode{stage}_{i}',
        )(x, train)
      if stage > 1:
        x = twice(x)
    return x


def twice(x: jax.Array) -> jax.Array:
  """Doubles the size by repeating pixels."""
  size = tuple(2 * side for side in x.shape[1:3])
  return resize(x, size, method='nearest')


def extend(x: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Repeats the last row and column of x [B, h, w, C] up to a size."""
  missing = [
      (0, side - have) for side, have in zip(size, x.shape[1:3], strict=True)
  ]
  return jnp.pad(x, ((0, 0), *missing, (0, 0)), mode='edge')
