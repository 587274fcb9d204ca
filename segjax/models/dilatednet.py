"""DilatedNet, https://arxiv.org/abs/1511.07122.

The front end is VGG without its last two pools and without any padding, so that
it loses a `halo`. A context module of dilated convolutions, which begins as
the identity, then looks at the scores. As the authors' Caffe networks have it:
the default is Dilation8 of VOC 2012; that of CamVid has `context='basic'`,
Dilation7 of KITTI also `rates=(1, 1, 2, 4, 8)`, and Dilation10 of Cityscapes
instead `rates=(1, 1, 2, 4, 8, 16, 32, 64), learned_upsampling=True`. Checked
against networks built of their prototxt files.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.conv import conv
from segjax.layers.head import classifier
from segjax.layers.upsample import Upsample
from segjax.ops.upsample_aligned import upsample_aligned

STRIDE = 8
HALO = 186  # Pixels that the front end sees before its first score.


def pool(x, stride):
  """2x2 pooling with stride 2; with stride 1, none."""
  return vgg.pool2(x, stride) if stride == 2 else x


FRONT_END = dict(
    pool=pool,
    padding=0,
    output_stride=STRIDE,
    fc6=dict(kernel=7, dilation=4, padding=0),
)


class Model(nn.Module):
  """Front end, context module, interpolation of probabilities."""

  num_classes: int
  backbone: str = 'vgg/16'
  context: str = 'large'  # Or 'basic', or '': none.
  rates: tuple[int, ...] = (1, 1, 2, 4, 8, 16)  # Of the context module.
  learned_upsampling: bool = False  # Of scores; else of probabilities.
  dropout: float = 0.5

  @property
  def halo(self):
    """Pixels by which the logits are smaller than the image on each side."""
    return HALO + 2 * STRIDE - 1  # Up to the score beyond the last pixel.

  @nn.compact
  def __call__(self, image, *, train=False):
    height, width = (side - 2 * self.halo for side in image.shape[1:3])
    if min(height, width) < 1:
      raise ValueError(
          f'An image of {image.shape[1:3]} pixels is all halo: it takes'
          f' {2 * self.halo + 1} at least.'
      )
    first = self.halo - HALO
    rows, columns = (
        slice(first, first + 2 * HALO + STRIDE * ((side - 1) // STRIDE + 2))
        for side in (height, width)
    )
    x = self.scores(image[:, rows, columns], train)
    if self.learned_upsampling:
      x = Upsample(STRIDE, padding=STRIDE // 2, mix=False, name='upsample')(x)
      logits = x[:, :height, :width]
    else:
      logits = interpolate(x, (height, width))
    return {'logits': logits, 'aux': {}}

  def scores(self, image, train):
    """Scores [B, h, w, K] of an image [B, 372 + 8 h, 372 + 8 w, C]."""
    feats = backbones.build(
        self.backbone,
        ('fc7',),
        **FRONT_END,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    x = classifier(self.num_classes, std=0.001)(feats['fc7'])
    if self.context:
      x = Context(self.context, self.rates, name='context')(x)
    return x


class Context(nn.Module):
  """3x3 convolutions of growing dilation, of scores, at their resolution.

  Table 1. The basic module has as many channels as classes all through, the
  large one up to 32 times as many, and a border for all layers together.
  """

  kind: str  # 'basic' or 'large'.
  rates: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    if self.kind not in ('basic', 'large'):
      raise ValueError(
          f"context={self.kind!r}: there are 'basic' and 'large', and '' for"
          ' the front end alone.'
      )
    classes, large = x.shape[-1], self.kind == 'large'
    init = identity(classes)
    layers = {f'conv{i}': rate for i, rate in enumerate(self.rates, 1)}
    layers['hidden'] = 1
    if large:
      border = (sum(layers.values()),) * 2
      x = jnp.pad(x, ((0, 0), border, border, (0, 0)))
    factor = 1
    for name, rate in layers.items():
      factor = max(factor, 2 * rate) if large else 1
      x = conv(
          factor * classes,
          dilation=rate,
          padding=0 if large else rate,
          bias=True,
          init=init,
          name=name,
      )(x)
      x = nn.relu(x)
    return conv(classes, 1, bias=True, init=init, name='classifier')(x)


def interpolate(scores, size):
  """Interpolates probabilities, not scores; returns their logarithms."""
  x = jax.nn.softmax(scores.astype(jnp.float32))
  x = upsample_aligned(x, STRIDE, size)
  smallest = jnp.finfo(jnp.float32).tiny  # A probability may be 0.
  return jnp.log(jnp.maximum(x, smallest)).astype(scores.dtype)


def identity(classes):
  """Returns an initialiser by which layers hand on the scores they are given.

  Equation 5: the channels of a layer belong to the classes in equal shares, and
  each is the sum of those of its class, such that the sum stays. A little noise
  makes channels differ; as in the authors' code, the less the more there are.
  """

  def init(key, shape, dtype=jnp.float32):
    rows, columns, into, out = shape
    owner = [jnp.arange(n) * classes // n for n in (into, out)]
    same = owner[0][:, None] == owner[1]
    noise = 0.01 * classes / max(into, out) * jax.random.normal(key, shape)
    kernel = noise.at[rows // 2, columns // 2].add(same * classes / out)
    return kernel.astype(dtype)

  return init
