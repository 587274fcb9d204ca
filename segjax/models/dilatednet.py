"""DilatedNet, https://arxiv.org/abs/1511.07122.

The front end is VGG without its last two pools and without padding, so that its
output lacks a `halo`. A context module of dilated convolutions, initialised to
the identity, follows on the scores. The authors' Caffe networks are, for VOC
2012, the default (Dilation8); for CamVid `context='basic'` (Dilation8); for
KITTI `context='basic', rates=(1, 1, 2, 4, 8)` (Dilation7); and for Cityscapes
`context='basic', rates=(1, 1, 2, 4, 8, 16, 32, 64), learned_upsampling=True`
(Dilation10). Checked against networks built from their prototxt files.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.backbones import vgg
from segjax.layers.conv import conv
from segjax.layers.head import classifier
from segjax.layers.upsample import upsample_scores
from segjax.ops.upsample_aligned import upsample_aligned

STRIDE = 8
HALO = 186  # Pixels that the front end's convolutions lose on each side.


def pool(x, stride):
  """Applies 2x2 max pooling if the stride is 2, and nothing if it is 1."""
  return vgg.pool2(x, stride) if stride == 2 else x


FRONT_END = dict(
    pool=pool,
    padding=0,
    output_stride=STRIDE,
    fc6=dict(kernel=7, dilation=4, padding=0),
)


class Model(nn.Module):
  """Front end, context module, and interpolation of probabilities."""

  num_classes: int
  backbone: str = 'vgg/16'
  context: str = 'large'  # Context module: 'large', 'basic', or '' for none.
  rates: tuple[int, ...] = (1, 1, 2, 4, 8, 16)  # Dilations of the context.
  # Enlarges scores by a trained transposed convolution, instead of
  # interpolating probabilities.
  learned_upsampling: bool = False
  upsampling: str = 'transposed'  # The trained one, see `layers.upsample`.
  dropout: float = 0.5

  @property
  def halo(self):
    """Pixels by which the logits are smaller than the image on each side."""
    # Interpolation also reads the scores next to the image, at stride 8.
    return HALO + 2 * STRIDE - 1

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
      x = upsample_scores(
          self.upsampling,
          STRIDE,
          padding=STRIDE // 2,
          mix=False,
          name='upsample',
      )(x)
      logits = x[:, :height, :width]
    else:
      logits = interpolate(x, (height, width))
    return {'logits': logits, 'aux': {}}

  def scores(self, image, train):
    """Returns scores [B, h, w, K] of images [B, 372 + 8 h, 372 + 8 w, C]."""
    feats = backbones.build(
        self.backbone,
        ('fc7',),
        **FRONT_END,
        dropout=self.dropout,
        name='backbone',
    )(image, train)
    init = nn.initializers.normal(0.001)
    x = classifier(self.num_classes, init=init)(feats['fc7'])
    if self.context:
      x = Context(self.context, self.rates, name='context')(x)
    return x


class Context(nn.Module):
  """Applies 3x3 convolutions of growing dilation to scores [B, h, w, K].

  Table 1 of the paper. The basic module has K channels in each layer and pads
  in each. The large one has up to 32 * K channels and pads once for all layers.
  """

  kind: str  # 'basic' or 'large'.
  rates: tuple[int, ...]  # Dilation of each layer.

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
  """Interpolates the probabilities of scores, and returns their logarithms."""
  x = jax.nn.softmax(scores.astype(jnp.float32))
  x = upsample_aligned(x, STRIDE, size)
  smallest = jnp.finfo(jnp.float32).tiny  # Avoids the logarithm of 0.
  return jnp.log(jnp.maximum(x, smallest)).astype(scores.dtype)


def identity(classes):
  """Returns an initialiser with which the context module is the identity.

  Equation 5 of the paper: channels are divided equally among the classes, and
  each output channel is an equal share of the sum of its class's input
  channels, so that this sum is kept. A little noise makes channels differ; it
  is smaller for more channels, as in the authors' code.
  """

  def init(key, shape, dtype=jnp.float32):
    rows, columns, inputs, out = shape
    owner = [jnp.arange(n) * classes // n for n in (inputs, out)]
    same = owner[0][:, None] == owner[1]
    noise = 0.01 * classes / max(inputs, out) * jax.random.normal(key, shape)
    kernel = noise.at[rows // 2, columns // 2].add(same * classes / out)
    return kernel.astype(dtype)

  return init
