"""ESPNet and ESPNet-C, https://arxiv.org/abs/1803.06815.

A light network of efficient spatial pyramids: channels are reduced to a fifth,
seen by five dilated convolutions in parallel, whose results are added up one
after another before they are concatenated, so that dilation leaves no grid
(figure 1). ESPNet-C, `decoder=False`, is the encoder with a classifier at
stride 8; ESPNet has a light decoder on it. As the authors' code
(sacmehta/ESPNet) builds them, which takes multiples of 8 alone: of other sizes
the last row or column of what is doubled is cut off where it is too much.
Checked against it.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import conv
from segjax.layers.norm import BatchNorm
from segjax.layers.prelu import ConvNormPReLU
from segjax.layers.prelu import NormPReLU
from segjax.layers.upsample import upsample
from segjax.ops.pool import halve
from segjax.ops.resize import resize
from segjax.ops.targets import shrink_label

EPSILON = 1e-3  # Of all norms.
DILATIONS = (1, 2, 4, 8, 16)


class ESP(nn.Module):
  """Applies the efficient spatial pyramid; figure 1 (b)."""

  features: int
  stride: int = 1
  residual: bool = True  # Adds the input.

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    width = self.features // len(DILATIONS)
    strided = self.stride > 1
    y = conv(width, 3 if strided else 1, stride=self.stride, name='reduce')(x)
    branches = []
    for dilation in DILATIONS:
      # The branch without dilation has the channels that are left over.
      first = dilation == 1
      left = self.features - (len(DILATIONS) - 1) * width
      z = conv(
          left if first else width, dilation=dilation, name=f'rate{dilation}'
      )(y)
      if dilation > 2:
        z += branches[-1]
      branches.append(z)
    y = jnp.concatenate(branches, -1)
    if self.residual:
      y += x
    return NormPReLU(EPSILON, name='join')(y, train)


class Encoder(nn.Module):
  """Strided pyramids with the image fed in again, and a classifier."""

  num_classes: int
  depths: tuple[int, int]
  features: tuple[int, int, int]

  @nn.compact
  def __call__(self, image, train):
    """Returns features at strides 2 and 4, and scores at stride 8."""

    def join(parts, name):
      return NormPReLU(EPSILON, name=name)(jnp.concatenate(parts, -1), train)

    stem, *widths = self.features
    half = halve(image)
    x = ConvNormPReLU(stem, stride=2, epsilon=EPSILON, name='stem')(
        image, train
    )
    x = fine = join([x, half], 'join1')
    for stage, (depth, width) in enumerate(
        zip(self.depths, widths, strict=True), 2
    ):
      x = first = ESP(width, stride=2, residual=False, name=f'stage{stage}_0')(
          x, train
      )
      for i in range(depth):
        x = ESP(width, name=f'stage{stage}_{i + 1}')(x, train)
      if stage == 2:
        x = middle = join([x, first, halve(half)], 'join2')
      else:
        x = join([first, x], 'join3')
    return fine, middle, conv(self.num_classes, 1, name='classifier')(x)


class Model(nn.Module):
  """Encoder, and a decoder that merges and enlarges; figure 4.

  Without the decoder, 'coarse' of the outputs has the scores at stride 8.
  """

  num_classes: int
  depths: tuple[int, int] = (2, 8)  # Pyramids after the strided ones: p and q.
  features: tuple[int, int, int] = (16, 64, 128)  # Of stem and stages.
  decoder: bool = True  # False: ESPNet-C.
  upsampling: str = 'transposed'  # Of the decoder, see `layers.upsample`.

  @nn.compact
  def __call__(self, image, *, train=False):
    classes = self.num_classes
    fine, middle, x = Encoder(
        classes, self.depths, self.features, name='encoder'
    )(image, train)
    if not self.decoder:
      logits = resize(x, image.shape[1:3])
      return {'logits': logits, 'aux': {}, 'coarse': x}
    if classes < len(DILATIONS):
      raise ValueError(
          f'The decoder of ESPNet divides its {classes} channels, one a class,'
          f' among {len(DILATIONS)} convolutions: it takes {len(DILATIONS)}'
          ' classes at least. Train ESPNet-C, --config.model.decoder=False.'
      )

    def double(x, like, name):
      """Doubles the size by a trained kernel, less a row that is too much."""
      height, width = like.shape[1:3]
      x = upsample(self.upsampling, classes, name=name)(x)
      return x[:, :height, :width]

    x = BatchNorm(train, epsilon=EPSILON, name='norm')(x)
    x = double(x, middle, 'up_middle')
    score = conv(classes, 1, name='score_middle')(middle)
    x = jnp.concatenate([score, x], -1)
    x = NormPReLU(EPSILON, name='join_middle')(x, train)
    x = ESP(classes, residual=False, name='merge_middle')(x, train)
    x = double(x, fine, 'up_fine')
    x = NormPReLU(EPSILON, name='norm_fine')(x, train)
    x = jnp.concatenate([x, fine], -1)
    x = ConvNormPReLU(classes, epsilon=EPSILON, name='merge_fine')(x, train)
    return {'logits': double(x, image, 'classifier'), 'aux': {}}


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    coarse: bool = False,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Compares the scores of ESPNet-C with the label at stride 8, if asked to.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    coarse: whether scores are compared at stride 8, as the authors train the
      encoder, and not at the size of the image. It does not matter with the
      decoder.
  """
  if coarse and 'coarse' in out:
    label = shrink_label(batch['label'], out['coarse'].shape[1:3])
    out = {**out, 'logits': out['coarse']}
    batch = {**batch, 'label': label}
  return base(out, batch, rng)
