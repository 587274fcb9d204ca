"""Hierarchical multi-scale attention, https://arxiv.org/abs/2005.10821.

OCRNet on HRNet with a second head that says, for each pixel, how much a
prediction at one scale counts against that at the next larger one. Training
mixes the scales 0.5 and 1.0; prediction chains any number of them, a field. As
NVIDIA/semantic-segmentation builds it, and checked against it.
"""

from collections.abc import Callable
import functools
import math
from typing import Any

from flax import linen as nn
import jax

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.head import FCNHead
from segjax.layers.head import classifier
from segjax.layers.levels import join_levels
from segjax.layers.object_context import ObjectContext
from segjax.ops.resize import resize

BRANCHES = ('c2', 'c3', 'c4', 'c5')


class ScaleAttention(nn.Module):
  """Computes one number from 0 to 1 for each pixel, [B, h, w, 1]."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    for i in (1, 2):
      x = ConvNormAct(self.features, name=f'conv{i}')(x, train)
    return nn.sigmoid(conv(1, 1, name='weight')(x))


class Network(nn.Module):
  """OCRNet with attention, on an image of one scale."""

  num_classes: int
  backbone: str
  features: int
  key_features: int
  attention_features: int
  dropout: float

  @nn.compact
  def __call__(self, image, train):
    """Returns 'logits', 'objects' and 'attention' at the size of the image."""
    feats = backbones.build(self.backbone, BRANCHES, name='backbone')(
        image, train
    )
    x = join_levels(feats, BRANCHES)
    coarse = FCNHead(
        self.num_classes,
        dropout=0.0,
        features=x.shape[-1],
        conv=functools.partial(ConvNormAct, kernel=1, bias=True),
        name='coarse',
    )(x, train)
    x = ObjectContext(
        self.features, self.key_features, bias=True, name='context'
    )(x, coarse, train)
    x = nn.Dropout(self.dropout, broadcast_dims=(1, 2))(
        x, deterministic=not train
    )
    maps = {
        'logits': classifier(self.num_classes)(x),
        'objects': coarse,
        'attention': ScaleAttention(self.attention_features, name='attention')(
            x, train
        ),
    }
    return {name: resize(y, image.shape[1:3]) for name, y in maps.items()}


def mix(low: jax.Array, high: jax.Array, attention: jax.Array) -> jax.Array:
  """Mixes scores of a smaller scale into those of a larger one.

  Args:
    low: scores of the smaller scale, [B, h, w, K].
    high: scores of the larger scale, [B, H, W, K].
    attention: how much the smaller one counts, [B, h, w, 1], from 0 to 1.

  Returns:
    [B, H, W, K].
  """
  size = high.shape[1:3]
  return resize(attention * low, size) + (1 - resize(attention, size)) * high


def combine(
    low: dict[str, jax.Array], high: dict[str, jax.Array]
) -> dict[str, Any]:
  """Returns the outputs of the model from those of `Network` at two scales."""
  attention, size = low['attention'], high['logits'].shape[1:3]
  return {
      'logits': mix(low['logits'], high['logits'], attention),
      'aux': {
          'objects': mix(low['objects'], high['objects'], attention),
          'low': resize(low['logits'], size),
          'high': high['logits'],
      },
      'attention': high['attention'],
  }


def scaled(image: jax.Array, scale: float) -> jax.Array:
  """Resizes an image [B, H, W, C] by a factor; sides are rounded down."""
  size = tuple(math.floor(side * scale) for side in image.shape[1:3])
  return resize(image, size)


class Model(nn.Module):
  """OCRNet at the scales `low_scale` and 1, mixed by its attention.

  The auxiliary outputs are the mixed coarse scores, 'objects', and the scores
  of each scale alone, 'low' and 'high'. 'attention', [B, H, W, 1], is that of
  the scale 1, which only prediction with other scales needs.
  """

  num_classes: int
  backbone: str = 'hrnet/w48'
  features: int = 512
  key_features: int = 256
  attention_features: int = 256
  dropout: float = 0.05  # Drops whole channels in front of the classifier.
  low_scale: float = 0.5
  scales: tuple[float, ...] = (0.5, 1.0, 2.0)  # Of prediction; 1 among them.

  @nn.compact
  def __call__(self, image, *, train=False):
    network = Network(
        self.num_classes,
        self.backbone,
        self.features,
        self.key_features,
        self.attention_features,
        self.dropout,
        name='network',
    )
    low = network(scaled(image, self.low_scale), train)
    high = network(image, train)
    return combine(low, high)


def predict(
    model: Model, apply: Callable, batch: dict, key: jax.Array
) -> dict[str, Any]:
  """Chains the predictions of all scales, from the largest one down.

  A scale of 1 or more replaces the result so far, shrunk to its size, where its
  attention is high. One below 1 is enlarged and mixed in as in training.

  Args:
    model: a `Model`.
    apply: `apply(batch, key)` returns the outputs at one size.
    batch: dict with the `image` [B, H, W, C].
    key: random key, which `apply` is given.

  Returns:
    A dict with `logits` [B, H, W, K].

  Raises:
    ValueError: 1.0 is not one of the scales.
  """
  if 1.0 not in model.scales:
    raise ValueError(
        f'scales={model.scales}: 1.0 has to be among them, the scale that the'
        ' result has.'
    )
  logits = None
  for scale in sorted(set(model.scales), reverse=True):
    # The outputs that mix in the next smaller scale are not used, and XLA
    # leaves out what computes them.
    out = apply({**batch, 'image': scaled(batch['image'], scale)}, key)
    scores, attention = out['aux']['high'], out['attention']
    if logits is None:
      logits = scores
    elif scale >= 1:
      above = resize(logits, scores.shape[1:3])
      logits = attention * scores + (1 - attention) * above
    else:
      logits = mix(scores, logits, attention)
  return {'logits': logits, 'aux': {}}
