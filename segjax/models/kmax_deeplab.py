"""kMaX-DeepLab, https://arxiv.org/abs/2207.04044.

Queries are centres of clusters of pixels: in the place of cross attention,
every pixel goes to the query whose mask it fits best, and a query moves by the
sum of its pixels' values, a step of k-means (figure 1). A pixel decoder of
blocks with axial attention makes maps at strides 32 to 4; the queries look at
the first three, and predict a class and a mask each on the last. Every layer
predicts, and learns from the matching of the last prediction.

This is the network of bytedance/kmax-deeplab, whose attention is made for one
size of images; here images may have any. That for COCO is checked against it.
For Cityscapes it has a fifth map, of the backbone's pooled stem, before the
last one, and a smaller auxiliary head: `levels` with 'pooled', and no
`semantic_decoder`. The task is `panoptic`.
"""

from collections.abc import Callable
import functools
import itertools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.axial_attention import Block
from segjax.layers.axial_attention import zero_norm
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import SeparableConvNormAct
from segjax.layers.head import classifier
from segjax.layers.mask_prediction import DenseNormAct
from segjax.layers.mask_prediction import NormedAttention
from segjax.layers.mask_prediction import Predictor
from segjax.layers.norm import layer_norm
from segjax.layers.panoptic_decoder import Decoder
from segjax.ops import mask_slots
from segjax.ops.pool import max_pool
from segjax.ops.resize import resize

batch_norm = functools.partial(norms.BatchNorm, epsilon=1e-3, momentum=0.99)
gelu = functools.partial(nn.gelu, approximate=False)


def enlarge(x, size):
  """Resizes a map; whether corners are aligned depends on its new width."""
  return resize(x, size, align_corners=size[1] % 2 == 1)


def predictor(num_classes, features):
  """Returns what predicts classes and masks of queries."""
  return Predictor(
      num_classes,
      features,
      features // 2,
      norm=batch_norm,
      act=gelu,
      name='predictor',
  )


class Fuse(nn.Module):
  """Adds a coarse map to a finer one, both with the channels asked for."""

  features: int

  @nn.compact
  def __call__(self, low, high, train):
    low = self._fitted(low, 'low', train)
    high = self._fitted(high, 'high', train)
    return enlarge(low, high.shape[1:3]) + high

  def _fitted(self, x, name, train):
    if x.shape[-1] == self.features:
      return x
    layer = ConvNormAct(
        self.features, kernel=1, norm=batch_norm, act=None, name=name
    )
    return layer(gelu(x), train)


class PixelDecoder(nn.Module):
  """Blocks at strides 32 to 4, from the features of a backbone."""

  levels: tuple[str, ...]  # Of the features, coarsest first.
  filters: tuple[int, ...]
  depths: tuple[int, ...]
  kinds: tuple[str, ...]  # See `Block`.

  @nn.compact
  def __call__(self, feats, train):
    """Returns a map for each level, none of which is activated."""
    maps = []
    for level, width, depth, kind in zip(
        self.levels, self.filters, self.depths, self.kinds, strict=True
    ):
      y = layer_norm(f'norm_{level}')(feats[level])
      x = y
      if maps:
        x = Fuse(width, name=f'fuse_{level}')(maps[-1], y, train)
      for i in range(depth):
        x = Block(
            kind,
            4 * width,
            (2 if kind == 'axial' else 1) * width,
            width,
            2 * width,
            act=gelu,
            norm=batch_norm,
            name=f'{level}_{i}',
        )(x, train)
      maps.append(x)
    return maps


class KMeansLayer(nn.Module):
  """Moves queries to the pixels that fit them best; figure 2, right."""

  num_classes: int
  features: int = 256
  expansion: int = 2048  # Channels of the feed-forward network.
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, pixels, queries, train):
    """Returns queries [B, Q, C], and the predictions before they moved.

    Args:
      pixels: [B, h, w, D], not activated.
      queries: [B, Q, C].
      train: whether paths are dropped, and norms take statistics from the
        batch.
    """
    width, dense = self.features, functools.partial(DenseNormAct, act=gelu)
    pixels = ConvNormAct(
        width, kernel=1, norm=batch_norm, act=gelu, name='pixel'
    )(gelu(pixels), train)
    inner = dense(width, norm=batch_norm, name='query')(queries, train)
    predicted = predictor(self.num_classes, width)(pixels, inner, inner, train)
    values = ConvNormAct(
        width, kernel=1, norm=batch_norm, act=None, name='value'
    )(pixels, train)
    # One-hot over queries; as a function of integers it has no gradient.
    masks = predicted[1]
    mine = jax.nn.one_hot(masks.argmax(-1), masks.shape[-1], dtype=values.dtype)
    sums = jnp.einsum('bhwq,bhwc->bqc', mine, values)
    sums = batch_norm(train, name='cluster_norm')(sums)
    moved = self._branch(queries.shape[-1], 'cluster', sums, train)

    half = width // 2
    qkv = DenseNormAct(2 * width, norm=batch_norm, act=None, name='qkv')(
        inner, train
    )
    attention = NormedAttention(norm=batch_norm, act=gelu, name='attention')
    found = attention(*jnp.split(qkv, (half, width), -1), train)
    found = self._branch(queries.shape[-1], 'attended', found, train)
    queries = gelu(queries + moved + found)

    y = dense(self.expansion, norm=batch_norm, name='expand')(queries, train)
    y = self._branch(queries.shape[-1], 'reduce', y, train)
    return gelu(queries + y), predicted

  def _branch(self, features, name, x, train):
    """Applies what ends a residual branch, which is 0 at first."""
    layer = DenseNormAct(
        features, norm=zero_norm(batch_norm), act=None, name=name
    )
    skip = nn.Dropout(
        self.drop_path, broadcast_dims=(1, 2), name=f'{name}_skip'
    )
    return skip(layer(x, train), deterministic=not train)


class SemanticHead(nn.Module):
  """Predicts classes of pixels from the backbone, in training alone."""

  num_classes: int
  features: int = 256
  decoder: bool = True  # To stride 4; else it predicts at that of 'c5'.
  dropout: float = 0.1

  @nn.compact
  def __call__(self, feats, train):
    x = feats['c5']
    if self.decoder:
      x = Decoder(
          self.features,
          self.features,
          (6, 12, 18),
          ('c3', 'c2'),
          (64, 32),
          align_corners=feats['c2'].shape[2] % 2 == 1,
          dropout=self.dropout,
          norm=batch_norm,
          act=gelu,
          name='decoder',
      )(feats, train)
    x = SeparableConvNormAct(
        self.features,
        kernel=5,
        norm=batch_norm,
        depthwise_act=gelu,
        act=gelu,
        name='refine',
    )(x, train)
    return classifier(self.num_classes)(x)


class Model(nn.Module):
  """Backbone, pixel decoder, and layers of k-means on three of its maps."""

  num_classes: int
  backbone: str = 'resnet/50(epsilon=1e-3, momentum=0.99)'
  queries: int = 128
  # Of the pixel decoder. 'pooled' is 'c1' after max pooling, at stride 4.
  levels: tuple[str, ...] = ('c5', 'c4', 'c3', 'c2')
  # One a level, as the next two.
  filters: tuple[int, ...] = (512, 256, 128, 64)
  depths: tuple[int, ...] = (1, 5, 1, 1)
  kinds: tuple[str, ...] = ('axial', 'axial', 'bottleneck', 'bottleneck')
  layers: tuple[int, ...] = (2, 2, 2)  # At strides 32, 16 and 8.
  features: int = 256  # Channels of queries.
  expansion: int = 2048  # Of their feed-forward networks.
  drop_path: float = 0.2  # Of the layers of k-means.
  # Whether the auxiliary head has a decoder and a class for no segment.
  semantic_decoder: bool = True
  dropout: float = 0.1  # Of that decoder.

  unread = ('centers', 'offsets')

  @nn.compact
  def __call__(self, image, *, train=False):
    reads = {'c1' if x == 'pooled' else x for x in (*self.levels, 'c5')}
    feats = backbones.build(self.backbone, sorted(reads), name='backbone')(
        image, train
    )
    if 'pooled' in self.levels:
      pooled = max_pool(feats['c1'], (3, 3), (2, 2), ((1, 1), (1, 1)))
      feats = {**feats, 'pooled': pooled}
    return self.predictions(feats, image.shape[1:3], train)

  @nn.nowrap
  def predictions(self, feats, size, train):
    """Returns the outputs for the features of a backbone."""
    maps = PixelDecoder(
        self.levels, self.filters, self.depths, self.kinds, name='pixel_decoder'
    )(feats, train)
    table = self.param(
        'queries',
        nn.initializers.truncated_normal(1.0),
        (self.queries, self.features),
    )
    queries = jnp.broadcast_to(
        table.astype(maps[0].dtype), (len(maps[0]), *table.shape)
    )
    # The maps that layers read, coarsest first.
    read = itertools.chain(
        *([x] * number for x, number in zip(maps, self.layers, strict=False))
    )
    predicted = []
    for i, pixels in enumerate(read):
      queries, of_layer = KMeansLayer(
          self.num_classes,
          self.features,
          self.expansion,
          self.drop_path,
          name=f'layer{i}',
      )(pixels, queries, train)
      predicted.append(of_layer)
    of_class, of_mask = (
        DenseNormAct(self.features, norm=batch_norm, act=gelu, name=name)(
            queries, train
        )
        for name in ('class_queries', 'mask_queries')
    )
    classes, masks, pixels = predictor(self.num_classes, self.features)(
        maps[-1], of_mask, of_class, train
    )
    out = {
        'logits': mask_slots.semantic_logits(classes, enlarge(masks, size)),
        'aux': {},
        'class_logits': classes,
        'mask_logits': masks,
    }
    semantic = SemanticHead(
        self.num_classes + self.semantic_decoder,
        self.features,
        self.semantic_decoder,
        self.dropout,
        name='semantic',
    )(feats, train)
    if train:
      grid = masks.shape[1:3]
      predicted = [
          (c, enlarge(m, grid), enlarge(p, grid)) for c, m, p in predicted
      ]
      stacked = zip(*predicted, (classes, masks, pixels), strict=True)
      names = 'class_logits', 'mask_logits', 'pixel_features'
      for name, parts in zip(names, stacked, strict=True):
        out[f'layer_{name}'] = jnp.stack(list(parts))
      out['semantic_logits'] = semantic
    return out


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    class_weight: float = 3.0,
    dice_weight: float = 3.0,
    mask_weight: float = 0.3,
    instance_weight: float = 1.0,
    semantic_weight: float = 1.0,
    samples: int = 4096,
    area_power: float = 1.5,
    semantic_samples: int = 4096,
    semantic_power: float = 2.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss of all layers, in the place of that of the task.

  Args:
    out: outputs of the model in training.
    batch: with `label`, `instances` and its tables.
    rng: key of the pixels that are drawn.
    base: not used.
    class_weight: factor of the cross entropy of classes.
    dice_weight: factor of the Dice loss of masks.
    mask_weight: factor of the cross entropy over queries of pixels.
    instance_weight: factor of the contrast between pixels.
    semantic_weight: factor of the auxiliary head.
    samples: number of pixels in the contrast.
    area_power: how much likelier pixels of small segments are drawn.
    semantic_samples: number of pixels of the auxiliary head, 0 for all.
    semantic_power: `area_power` of the auxiliary head.
  """
  del base
  return mask_slots.kmax_loss(
      out,
      batch,
      rng,
      weights={
          'class': class_weight,
          'dice': dice_weight,
          'mask': mask_weight,
          'instance': instance_weight,
          'semantic': semantic_weight,
      },
      samples=samples,
      area_power=area_power,
      semantic_samples=semantic_samples,
      semantic_power=semantic_power,
  )
