"""Mask2Former, Masked-attention Mask Transformer.

https://arxiv.org/abs/2112.01527

Queries predict a class and a mask each. A pixel decoder of deformable attention
over three maps, strides 32, 16 and 8 together, makes features; in the layers of
a transformer decoder, which read these maps in turn, a query attends only to
the pixels of the mask that it predicted before (section 3.2), and every layer
predicts anew. Queries are learnt, and their features predict before any layer.

Task 'semantic' sums the masks of each class, and task 'panoptic' joins masks to
segments. Checked against transformers 5.24.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import backbones
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.deform_attention import DeformAttention
from segjax.layers.multihead_attention import MultiHeadAttention
from segjax.layers.norm import group_norm
from segjax.layers.norm import layer_norm
from segjax.ops import mask_classification
from segjax.ops.resize import resize
from segjax.ops.sine_position import sine_position

normal = nn.initializers.normal(1.0)
EPSILON = 1e-5  # Of all norms.
LEVELS = ('c5', 'c4', 'c3')  # What the pixel decoder attends to, in order.


class Model(nn.Module):
  """Backbone, pixel decoder, and a decoder of queries with masked attention."""

  num_classes: int
  backbone: str = 'resnet/50'
  features: int = 256
  heads: int = 8
  points: int = 4  # Of deformable attention, in each map and head.
  encoder_layers: int = 6
  encoder_inner: int = 1024  # Channels within the MLPs of the pixel decoder.
  queries: int = 100
  decoder_layers: int = 9
  decoder_inner: int = 2048

  unread = ('centers', 'offsets')

  @nn.compact
  def __call__(self, image, *, train=False):
    feats = backbones.build(self.backbone, ('c2', *LEVELS), name='backbone')(
        image, train
    )
    maps, finest = PixelDecoder(
        self.features,
        self.heads,
        self.points,
        self.encoder_layers,
        self.encoder_inner,
        name='pixel_decoder',
    )(feats, train)
    predictions = Decoder(
        self.num_classes,
        self.heads,
        self.queries,
        self.decoder_layers,
        self.decoder_inner,
        name='decoder',
    )(maps, finest)
    classes, masks = predictions[-1]
    out = {
        'logits': mask_classification.semantic_logits(
            classes, masks, image.shape[1:3]
        ),
        'aux': {},
        'class_logits': classes,
        'mask_logits': masks,
    }
    if train:
      stacked = map(jnp.stack, zip(*predictions, strict=True))
      out['layer_class_logits'], out['layer_mask_logits'] = stacked
    return out


class PixelDecoder(nn.Module):
  """Attends over three maps together, and adds the result to the finest one.

  Returns the three maps [B, h, w, features], the coarsest first, and features
  of pixels at stride 4 that masks are products with.
  """

  features: int
  heads: int
  points: int
  layers: int
  inner: int

  @nn.compact
  def __call__(self, feats, train):
    table = self.param('levels', normal, (len(LEVELS), self.features))
    tokens, embeddings, places, sizes = [], [], [], []
    for i, level in enumerate(LEVELS):
      x = conv(self.features, 1, bias=True, name=f'project_{level}')(
          feats[level]
      )
      x = group_norm(train, name=f'norm_{level}')(x)
      size = x.shape[1:3]
      place = sine_position(size, self.features).astype(x.dtype)
      tokens.append(positions(x))
      embeddings.append(positions((place + table[i].astype(x.dtype))[None]))
      places.append(middles(size))
      sizes.append(size)
    x, embedding = (jnp.concatenate(parts, 1) for parts in (tokens, embeddings))
    for i in range(self.layers):
      x = EncoderLayer(self.heads, self.points, self.inner, name=f'layer{i}')(
          x, embedding, np.concatenate(places), tuple(sizes)
      )
    ends = np.cumsum([height * width for height, width in sizes])
    maps = [
        part.reshape(len(x), *size, self.features)
        for part, size in zip(jnp.split(x, ends[:-1], 1), sizes, strict=True)
    ]
    fine = ConvNormAct(
        self.features, 1, norm=group_norm, act=None, name='lateral'
    )(feats['c2'], train)
    fine += resize(maps[-1], fine.shape[1:3])
    fine = ConvNormAct(self.features, norm=group_norm, name='output')(
        fine, train
    )
    return maps, conv(self.features, 1, bias=True, name='masks')(fine)


class EncoderLayer(nn.Module):
  """Adds deformable attention and an MLP to tokens, each before a norm."""

  heads: int
  points: int
  inner: int

  @nn.compact
  def __call__(self, x, embedding, places, sizes):
    y = DeformAttention(self.heads, self.points, name='attention')(
        x + embedding, x, places, sizes
    )
    x = layer_norm('norm1', epsilon=EPSILON)(x + y)
    return layer_norm('norm2', epsilon=EPSILON)(
        x + MLP((self.inner, x.shape[-1]), name='mlp')(x)
    )


class Decoder(nn.Module):
  """Layers of queries, which predict before the first one and after each.

  Returns [(class logits [B, Q, K + 1], mask logits [B, h, w, Q]), ...].
  """

  num_classes: int
  heads: int
  queries: int
  layers: int
  inner: int

  @nn.compact
  def __call__(self, maps, finest):
    batch, width = len(finest), finest.shape[-1]
    shape = self.queries, width
    x, embedding = (
        jnp.broadcast_to(self.param(name, normal, shape), (batch, *shape))
        for name in ('queries', 'query_positions')
    )
    x, embedding = x.astype(finest.dtype), embedding.astype(finest.dtype)
    table = self.param('levels', normal, (len(maps), width))
    sources, places = [], []
    for level, vector in zip(maps, table, strict=True):
      sources.append(positions(level + vector.astype(level.dtype)))
      place = sine_position(level.shape[1:3], width).astype(level.dtype)
      places.append(positions(jnp.asarray(place)[None]))
    norm = layer_norm('norm', epsilon=EPSILON)
    predict = Prediction(self.num_classes, name='predict')
    predictions = [predict(norm(x), finest)]
    for i in range(self.layers):
      level = i % len(maps)
      x = DecoderLayer(self.heads, self.inner, name=f'layer{i}')(
          x,
          embedding,
          sources[level],
          places[level],
          seen(predictions[-1][1], maps[level].shape[1:3]),
      )
      predictions.append(predict(norm(x), finest))
    return predictions


class DecoderLayer(nn.Module):
  """Adds masked attention to a map, self-attention and an MLP to queries."""

  heads: int
  inner: int

  @nn.compact
  def __call__(self, x, embedding, source, places, mask):
    y = MultiHeadAttention(self.heads, name='cross')(
        x + embedding, source + places, source, mask
    )
    x = layer_norm('norm1', epsilon=EPSILON)(x + y)
    own = x + embedding
    y = MultiHeadAttention(self.heads, name='self')(own, own, x)
    x = layer_norm('norm2', epsilon=EPSILON)(x + y)
    return layer_norm('norm3', epsilon=EPSILON)(
        x + MLP((self.inner, x.shape[-1]), name='mlp')(x)
    )


class Prediction(nn.Module):
  """Predicts the class and the mask of each query."""

  num_classes: int

  @nn.compact
  def __call__(self, x, finest):
    classes = nn.Dense(self.num_classes + 1, name='classifier')(x)
    masks = MLP((x.shape[-1],) * 3, name='mlp')(x)
    return classes, jnp.einsum('bqc,bhwc->bhwq', masks, finest)


class MLP(nn.Module):
  """Applies linear layers with ReLU between them."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x):
    for i, width in enumerate(self.widths):
      x = nn.Dense(width, name=f'fc{i + 1}')(nn.relu(x) if i else x)
    return x


def positions(x):
  """Flattens a map [B, H, W, C] row by row, to [B, H * W, C]."""
  return x.reshape(len(x), -1, x.shape[-1])


def middles(size):
  """Returns the middle (x, y) of each pixel, by parts of the sides: [N, 2]."""
  rows, columns = ((np.arange(side) + 0.5) / side for side in size)
  grid = np.stack(np.meshgrid(columns, rows), -1)
  return grid.reshape(-1, 2).astype(np.float32)


def seen(masks: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns which pixels of a map each query attends to, [B, Q, N].

  They are those of its mask, or all where the mask is empty.

  Args:
    masks: logits [B, h, w, Q].
    size: (height, width) of the map, N = height * width.
  """
  covered = positions(resize(masks.astype(jnp.float32), size) >= 0)
  covered = covered.swapaxes(1, 2)
  return covered | ~covered.any(-1, keepdims=True)


# That of all predictions, in the place of the task's.
loss = mask_classification.loss
