"""MaX-DeepLab, https://arxiv.org/abs/2012.00759.

A memory of slots and the pixels of a backbone with axial attention look at each
other in the backbone's last stage, in all four directions (figure 3): slots at
pixels and at slots with one softmax over both, pixels at slots and, in the
axial blocks, at pixels. Each slot predicts a class, and a mask by its products
with pixels at stride 4. In training an auxiliary head predicts classes of
pixels.

The fields are those of MaX-DeepLab-S. MaX-DeepLab-L is on
'axial_resnet/swidernet', is twice as wide, lets memory and pixels look at each
other from stride 16 on, and goes down to stride 16 and up to stride 4 again in
stacked decoders before the last one; `large=True` of the config sets its
fields.

This is the code of google-research/deeplab2, for sides of 32n + 1 pixels.
MaX-DeepLab-S is checked against it; MaX-DeepLab-L is built after it. The task
is `panoptic`.
"""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import norm as norms
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
  drop_path: float = 0.0  # Probability that an image skips what is added.

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
    skip = nn.Dropout(
        self.drop_path, broadcast_dims=(1, 2), name=f'{name}_skip'
    )
    return skip(layer(x, train), deterministic=not train)


class Fuse(nn.Module):
  """Adds a map to others, with their size and channels; nothing is activated.

  It is thinned out by a stride where it is finer, and enlarged where coarser.
  """

  @nn.compact
  def __call__(self, x, others, train):
    _, *size, features = others[0].shape
    x = ConvNormAct(
        features,
        kernel=1,
        stride=2 if x.shape[1] > size[0] else 1,
        norm=batch_norm,
        act=None,
        name='low',
    )(nn.relu(x), train)
    return sum(others, enlarge(x, size))


class Model(nn.Module):
  """Backbone with a memory, decoders to stride 4, and slots that predict."""

  num_classes: int
  backbone: str = 'axial_resnet/max_s'
  memory: int = 128  # Number of slots that there are.
  slots: int = 128  # Number of them, the first ones, that are used.
  memory_features: int = 256  # Channels of the memory.
  features: int = 256  # Channels of heads.
  # See `DualPath`; half as many at 'c4' as at 'c5' and behind.
  path_features: int = 256
  path_levels: tuple[str, ...] = ('c5',)  # Stages with dual paths.
  expansion: int = 2048  # See `DualPath`.
  # How often features go up to stride 4 and down to stride 16 again before the
  # last way up, in the backbone and behind it.
  stacks: tuple[int, int] = (0, 0)
  blocks: int = 1  # At each stride of a decoder behind the backbone.
  depth: int = 128  # Channels of masks' products.
  low_features: tuple[int, int] = (64, 32)  # Of the auxiliary head.
  dropout: float = 0.1  # The same.

  unread = ('centers', 'offsets')

  @nn.compact
  def __call__(self, image, *, train=False):
    table = self.param(
        'memory',
        nn.initializers.truncated_normal(1.0),
        (self.memory, self.memory_features),
    )
    memory = jnp.broadcast_to(
        table[: self.slots].astype(image.dtype),
        (len(image), self.slots, self.memory_features),
    )
    raw = {}  # Results of stages before they are activated.

    def after(name, x):
      nonlocal memory
      level, _, _ = name.partition('_')
      if name in paths:
        memory, x = paths[name](memory, x, train)
      raw[level] = x
      return x

    backbone = backbones.build(
        self.backbone, ('c5', 'c3', 'c2'), after=after, name='backbone'
    )
    paths = self._paths(backbone)
    feats = backbone(image, train)
    memory, fine, x = self._decoded(backbone, memory, raw, train)
    of_class, of_mask = (
        DenseNormAct(self.memory_features, norm=batch_norm, name=name)(
            memory, train
        )
        for name in ('class_slots', 'mask_slots')
    )
    classes, masks, pixels = Predictor(
        self.num_classes,
        self.features,
        self.depth,
        norm=batch_norm,
        name='predictor',
    )(fine[-1], of_mask, of_class, train)
    size = image.shape[1:3]
    if self.stacks[1]:  # The first map at stride 4 behind the backbone.
      x = fine[self.stacks[0]]
    else:
      x = self._semantic({**feats, 'c5': x}, train)
    x = SeparableConvNormAct(
        self.features, kernel=5, norm=batch_norm, name='semantic_head'
    )(x, train)
    semantic = classifier(self.num_classes)(x)
    out = {
        'logits': mask_slots.semantic_logits(classes, enlarge(masks, size)),
        'aux': {'semantic': enlarge(semantic, size)},
        'class_logits': classes,
        'mask_logits': masks,
    }
    return {**out, 'pixel_features': pixels} if train else out

  @nn.nowrap
  def _paths(self, backbone):
    """Returns the dual paths of the backbone by the blocks they come behind."""
    paths = {}
    for level, depth in zip((4, 5), backbone.depths[-2:], strict=True):
      for i in range(depth if f'c{level}' in self.path_levels else 0):
        paths[f'c{level}_{i}'] = DualPath(
            self.path_features // (1 if level == 5 else 2),
            self.expansion,
            backbone.dropped(level, i),
            name=f'path{i}' if level == 5 else f'path_c{level}_{i}',
        )
    return paths

  @nn.nowrap
  def _decoded(self, backbone, memory, raw, train):
    """Goes up from stride 16 to stride 4, and down and up again if asked to.

    Args:
      backbone: whose kinds of blocks are taken.
      memory: [B, N, C].
      raw: {level: features} of the backbone, not activated.
      train: whether norms take their statistics from the batch.

    Returns:
      The memory, activated features [B, h, w, C] at stride 4 of each way up,
      and those of the backbone at stride 16.
    """

    def apply(memory, x, level, count, name):
      """Applies blocks, and behind each one at stride 16 a dual path."""
      width, dropped = x.shape[-1] // 4, backbone.dropped(level, 1)
      for i in range(count):
        own = f'{name}_{i}' if i else name
        block = backbone.block(
            width, level == 5, drop_path=dropped, norm=batch_norm, name=own
        )
        x = block(x, train)
        if level == 5:
          path = DualPath(
              self.path_features, self.expansion, dropped, name=f'path_{own}'
          )
          memory, x = path(memory, x, train)
      return memory, x

    inner, outer = self.stacks
    # Of strides 8 and 4, and 8, 16, 8 and 4.
    levels = (3, 2, *(inner + outer) * (3, 5, 3, 2))
    end_of_backbone = 4 * inner
    known = {level: [raw[f'c{level}']] for level in (2, 3, 5)}
    x = of_backbone = raw['c5']
    if not inner:
      memory, x = apply(memory, x, 5, self.blocks, 'extra')
    fine = []
    for i, level in enumerate(levels, 1):
      name = f'c{level}' if i > len(levels) - 2 else f'{i}'
      # The last two are one of a way up and one of a way down.
      x = Fuse(name=f'fuse_{name}')(x, known[level][-2:], train)
      count = 1 if i <= end_of_backbone else self.blocks
      memory, x = apply(memory, x, level, count, f'refine_{name}')
      if i == end_of_backbone:
        of_backbone = x
        memory, x = apply(memory, x, 5, self.blocks, 'extra')
      known[level].append(x)
      if level == 2:
        fine.append(nn.relu(x))
    return memory, fine, nn.relu(of_backbone)

  @nn.nowrap
  def _semantic(self, feats, train):
    """Returns features at stride 4 by Panoptic-DeepLab's decoder."""
    return Decoder(
        self.features,
        self.features,
        (6, 12, 18),
        ('c3', 'c2'),
        self.low_features,
        dropout=self.dropout,
        norm=batch_norm,
        name='semantic',
    )(feats, train)


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
