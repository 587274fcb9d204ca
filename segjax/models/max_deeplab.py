"""MaX-DeepLab, https://arxiv.org/abs/2012.00759.

A memory of slots and the pixels of a backbone with axial attention look at each
other in the backbone's last stage, in all four directions (figure 3): slots at
pixels and at slots with one softmax over both, pixels at slots and, in the
axial blocks, at pixels. Each slot predicts a class, and a mask by its products
with pixels at stride 4. This is MaX-DeepLab-S; in training an auxiliary head
predicts classes of pixels.

This is the code of google-research/deeplab2, on 'axial_resnet/max_s', for
sides of 32n + 1 pixels. Checked against it. The task is `panoptic`.
"""

from collections.abc import Callable
import functools

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
from segjax.layers.panoptic_decoder import Decoder
from segjax.ops import mask_slots
from segjax.ops.resize import resize

batch_norm = functools.partial(norms.BatchNorm, epsilon=1e-3, momentum=0.99)
enlarge = functools.partial(resize, align_corners=True)


class DualPath(nn.Module):
  """Lets memory and pixels attend to memory, and memory to pixels; figure 4."""

  features: int = 256  # Of values; queries and keys have half as many.
  expansion: int = 2048  # Channels of the memory's feed-forward network.

  @nn.compact
  def __call__(self, memory, x, train):
    """Returns memory [B, N, C] and pixels [B, H, W, D], not activated.

    Args:
      memory: [B, N, C].
      x: [B, H, W, D], not activated.
      train: whether norms take their statistics from the batch.
    """
    pixels = nn.relu(x).reshape(len(x), -1, x.shape[-1])
    of_memory, of_pixels = (
        self._projected(name, values, train)
        for name, values in (('memory', memory), ('pixel', pixels))
    )
    both = (
        jnp.concatenate([a, b], 1)
        for a, b in zip(of_pixels[1:], of_memory[1:], strict=True)
    )
    attention = functools.partial(NormedAttention, norm=batch_norm)
    seen = attention(name='memory_attention')(of_memory[0], *both, train)
    shown = attention(name='pixel_attention')(
        of_pixels[0], *of_memory[1:], train
    )
    channels = memory.shape[-1]
    memory = nn.relu(memory + self._added('attended', channels, seen, train))
    y = DenseNormAct(self.expansion, norm=batch_norm, name='expand')(
        memory, train
    )
    memory = nn.relu(memory + self._added('reduce', channels, y, train))
    shown = self._added('shown', x.shape[-1], shown, train)
    return memory, x + shown.reshape(x.shape)

  def _projected(self, name, x, train):
    """Returns queries, keys and values."""
    x = DenseNormAct(self.features, norm=batch_norm, name=name)(x, train)
    qkv = DenseNormAct(
        2 * self.features, norm=batch_norm, act=None, name=f'{name}_qkv'
    )(x, train)
    return jnp.split(qkv, (self.features // 2, self.features), -1)

  def _added(self, name, features, x, train):
    layer = DenseNormAct(
        features, norm=zero_norm(batch_norm), act=None, name=name
    )
    return layer(x, train)


class Fuse(nn.Module):
  """Adds a coarse map to a finer one with the channels of that one."""

  @nn.compact
  def __call__(self, low, high, train):
    low = ConvNormAct(
        high.shape[-1], kernel=1, norm=batch_norm, act=None, name='low'
    )(nn.relu(low), train)
    return enlarge(low, high.shape[1:3]) + high


class Model(nn.Module):
  """Backbone with a memory, a decoder to stride 4, and slots that predict."""

  num_classes: int
  backbone: str = 'axial_resnet/max_s'
  memory: int = 128  # Number of slots that there are.
  slots: int = 128  # Number of them, the first ones, that are used.
  features: int = 256  # Channels of the memory and of heads.
  path_features: int = 256  # See `DualPath`.
  expansion: int = 2048  # The same.
  depth: int = 128  # Channels of masks' products.
  low_features: tuple[int, int] = (64, 32)  # Of the auxiliary head.
  dropout: float = 0.1  # The same.

  unread = ('centers', 'offsets')

  @nn.compact
  def __call__(self, image, *, train=False):
    table = self.param(
        'memory',
        nn.initializers.truncated_normal(1.0),
        (self.memory, self.features),
    )
    memory = jnp.broadcast_to(
        table[: self.slots].astype(image.dtype),
        (len(image), self.slots, self.features),
    )
    raw = {}  # Results of stages before they are activated.
    path = functools.partial(DualPath, self.path_features, self.expansion)

    def after(name, x):
      nonlocal memory
      level, _, index = name.partition('_')
      if level == 'c5':
        memory, x = paths[int(index)](memory, x, train)
      raw[level] = x
      return x

    backbone = backbones.build(
        self.backbone, ('c5', 'c3', 'c2'), after=after, name='backbone'
    )
    paths = [path(name=f'path{i}') for i in range(backbone.depths[-1])]
    feats = backbone(image, train)
    x = raw['c5']
    width = x.shape[-1] // 4
    x = Block(
        'axial',
        4 * width,
        2 * width,
        width,
        2 * width,
        norm=batch_norm,
        name='extra',
    )(x, train)
    memory, x = path(name='path_extra')(memory, x, train)
    for level in ('c3', 'c2'):
      x = Fuse(name=f'fuse_{level}')(x, raw[level], train)
      width = x.shape[-1] // 4
      x = Block(
          'bottleneck',
          4 * width,
          width,
          norm=batch_norm,
          name=f'refine_{level}',
      )(x, train)
    of_class, of_mask = (
        DenseNormAct(self.features, norm=batch_norm, name=name)(memory, train)
        for name in ('class_slots', 'mask_slots')
    )
    classes, masks, pixels = Predictor(
        self.num_classes,
        self.features,
        self.depth,
        norm=batch_norm,
        name='predictor',
    )(nn.relu(x), of_mask, of_class, train)
    size = image.shape[1:3]
    semantic = self._semantic(feats, train)
    out = {
        'logits': mask_slots.semantic_logits(classes, enlarge(masks, size)),
        'aux': {'semantic': enlarge(semantic, size)},
        'class_logits': classes,
        'mask_logits': masks,
    }
    return {**out, 'pixel_features': pixels} if train else out

  @nn.nowrap
  def _semantic(self, feats, train):
    """Returns classes of pixels by Panoptic-DeepLab's decoder and head."""
    x = Decoder(
        self.features,
        self.features,
        (6, 12, 18),
        ('c3', 'c2'),
        self.low_features,
        dropout=self.dropout,
        norm=batch_norm,
        name='semantic',
    )(feats, train)
    x = SeparableConvNormAct(
        self.features, kernel=5, norm=batch_norm, name='semantic_head'
    )(x, train)
    return classifier(self.num_classes)(x)


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
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss of slots and of the auxiliary head.

  Args:
    out: outputs of the model in training.
    batch: with `label`, `instances` and its tables.
    rng: not used.
    base: not used.
    class_weight: factor of the cross entropy of classes.
    dice_weight: factor of the Dice loss of masks.
    mask_weight: factor of the cross entropy over slots of pixels.
    instance_weight: factor of the contrast between objects.
    semantic_weight: factor of the auxiliary head.
  """
  del base, rng
  return mask_slots.max_loss(
      out,
      batch,
      weights={
          'class': class_weight,
          'dice': dice_weight,
          'mask': mask_weight,
          'instance': instance_weight,
          'semantic': semantic_weight,
      },
  )
