"""A network of all operations and paths on three scales, at any width.

FasterSeg, https://arxiv.org/abs/1912.10917, searches in it, as its authors'
code builds it: each cell adds up all operations on what comes from the same
scale and from the finer one, and passes on a map of each stride.
"""

from collections.abc import Sequence
import functools
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import he_fan_in
from segjax.layers.head import FCNHead
from segjax.layers.slimmable import Slim
from segjax.layers.slimmable import Width
from segjax.layers.slimmable import WidthNorm
from segjax.layers.slimmable import counts
from segjax.layers.slimmable import mask
from segjax.layers.slimmable import of_cells
from segjax.ops.resize import resize

OPERATIONS = ('skip', 'conv', 'conv_downup', 'conv_2x', 'conv_2x_downup')
SCALES = 3  # Strides 8, 16 and 32.
HEADS = ('head0', 'head1', 'head2', 'head02', 'head12')


class Operation(nn.Module):
  """One of `OPERATIONS` at any width."""

  operation: str
  features: int
  stride: int
  widths: tuple[int, ...]
  inputs: int = 1  # See `WidthNorm`.

  @nn.compact
  def __call__(self, x, width, train):
    if self.operation == 'skip':
      return self.skip(x, width, train)
    size, stride = x.shape[1:3], self.stride
    downup = self.operation.endswith('downup')
    if downup:
      # Down, odd sides are rounded as by the other operations.
      odd = 1 if self.stride == 2 else 0
      half = tuple(max((side + odd) // 2, 1) for side in size)
      x, stride = resize(x, half, align_corners=True), 1
    layers = 2 if '2x' in self.operation else 1
    for i in range(1, layers + 1):
      x = Slim(
          self.features,
          self.widths,
          stride=stride if i == 1 else 1,
          name=f'conv{i}',
      )(x, width)
      x = WidthNorm(self.widths, self.inputs, name=f'norm{i}')(x, width, train)
      if i < layers:
        x = nn.relu(x)
    if downup and self.stride == 1:
      x = resize(x, size, align_corners=True)
    return nn.relu(x)

  def skip(self, x, width, train):
    """Projects the input and, at stride 2, reads two grids of pixels."""
    features = self.features // self.stride
    conv = functools.partial(
        Slim, features, self.widths, kernel=1, stride=self.stride
    )
    y = conv(name='conv1')(x, width)
    if self.stride == 2:
      shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
      y = jnp.concatenate([y, conv(name='conv2')(shifted, width)], -1)
      # The channels of both that the width has come first.
      count = jnp.array(counts(features, self.widths))[width.index]
      place = jnp.arange(self.features)
      source = jnp.where(place < count, place, features - count + place)
      y = jnp.take(y, source, axis=-1, mode='clip')
      y *= mask(self.features, self.widths, width).astype(y.dtype)
    return nn.relu(
        WidthNorm(self.widths, self.inputs, name='norm')(y, width, train)
    )


class Mixture(nn.Module):
  """The sum of all operations, weighted by `alphas` [operations]."""

  features: int
  stride: int
  widths: tuple[int, ...]
  inputs: int

  @remat.block
  @nn.compact
  def __call__(self, x, alphas, read, write, train):
    """Returns [inputs * B, h, w, features].

    Args:
      x: [inputs * B, H, W, C], with zeros beyond its width.
      alphas: weights of the operations.
      read: width of x.
      write: width of the result.
      train: whether norms take statistics from the batch.
    """
    total = 0
    for i, name in enumerate(OPERATIONS):
      operation = Operation(
          name,
          self.features,
          self.stride,
          self.widths,
          self.inputs,
          name=name,
      )
      total += alphas[i].astype(x.dtype) * operation(x, write, train)
    return total * jnp.asarray(read.score * write.score, x.dtype)


class Pass(NamedTuple):
  """An architecture at some widths, to see the network with.

  Attributes:
    role: 'teacher' or 'student', whose stem and heads are used.
    ends: width of stem and heads, in twelfths.
    alphas: of each scale the weights of operations, [cells, operations].
    betas: of each scale but the first the weights of what comes from the finer
      and from the same scale, [cells, 2].
    widths: of each scale the width of each cell, with [cells] in its fields.
  """

  role: str
  ends: int
  alphas: Sequence[jax.Array]
  betas: Sequence[jax.Array | None]
  widths: Sequence[Width]


class PathNetwork(nn.Module):
  """Stems and heads of both architectures, and the cells that they share."""

  num_classes: int
  layers: int
  features: int
  widths: tuple[int, ...]

  def channels(self, scale, width=12):
    """Returns the channels at stride 8 * 2^scale, for a width in twelfths."""
    return round(self.features * 8 * 2**scale * width / 12)

  @nn.compact
  def __call__(self, image, passes, train):
    """Returns {head: scores [B, h, w, num_classes] at stride 8} of each pass.

    The passes go through the cells one after the other in a loop of XLA, which
    compiles the cells once and not once for each pass. Running statistics move
    with each.

    Args:
      image: [B, H, W, C].
      passes: a list of `Pass`.
      train: whether norms take statistics from the batch.
    """
    layer = _created_once(functools.partial(ConvNormAct, init=he_fan_in))
    head = _created_once(functools.partial(FCNHead, self.num_classes, 0.0))
    if self.is_initializing():
      # The teacher's own parts, without the cells that it shares.
      self.stem(layer, image, 'teacher', 12, train)
      sides = [(1, 4 >> s, 4 >> s, self.channels(s)) for s in range(SCALES)]
      maps = [jnp.zeros(side) for side in sides]
      self.heads(layer, head, maps, 'teacher', 12, train)
    given = []
    for role, ends, *architecture in passes:
      x = self.stem(layer, image, role, ends, train)
      end = Width(self.widths.index(ends))
      given.append((_filled(x, self.channels(0)), end, *architecture))
    if len(given) == 1:
      maps = [self.cells(*given[0], train)]
    else:
      loop = nn.scan(
          lambda network, carry, one: (carry, network.cells(*one, train)),
          variable_broadcast='params',
          variable_carry='batch_stats',
          split_rngs={'params': False},
          check_constancy_invariants=False,  # Would trace the cells twice.
      )
      _, stacked = loop(self, (), jax.tree.map(_stack, *given))
      maps = [[x[i] for x in stacked] for i in range(len(given))]
    return [
        self.heads(layer, head, m, role, ends, train)
        for m, (role, ends, *_) in zip(maps, passes, strict=True)
    ]

  def cells(self, x, end, alphas, betas, widths, train):
    """Returns what the last cell of each scale keeps.

    Args:
      x: features of a stem, as wide as the widest.
      end: width of stem and heads.
      alphas: see `Pass`, as for the next ones.
      betas: weights of the inputs of cells.
      widths: of the cells.
      train: whether norms take statistics from the batch.
    """
    widths = [of_cells(row) for row in widths]
    before = [(x, None)]  # Same size, and half.
    for layer in range(self.layers):
      now = []
      for scale in range(min(layer + 1, SCALES)):
        given = []
        if scale:
          given.append(before[scale - 1][1])
        if scale < len(before):
          given.append(before[scale][0])
        weights = [1.0]
        if len(given) == 2:
          weights = betas[scale][layer - scale - 1].astype(x.dtype)
        read, keep, down = cell_widths(layer, scale, self.layers, widths, end)
        results = {}
        for name, stride, write in (('keep', 1, keep), ('down', 2, down)):
          if write is None:
            continue
          parts = Mixture(
              self.channels(scale + stride - 1),
              stride,
              self.widths,
              len(given),
              name=f'cell{layer}_{scale}_{name}',
          )(
              jnp.concatenate(given),
              alphas[scale][layer - scale],
              read,
              write,
              train,
          )
          results[name] = sum(
              weight * y
              for weight, y in zip(
                  weights, jnp.split(parts, len(given)), strict=True
              )
          )
        now.append((results['keep'], results.get('down')))
      before = now
    return [keep for keep, _ in before]

  def stem(self, layer, image, role, ends, train):
    """Returns features at stride 8, of convolutions that `layer` creates."""
    x = image
    for i, (width, layers) in enumerate(((2, 1), (4, 2), (8, 2))):
      features = round(self.features * width * ends / 12)
      features *= 2 if width < 8 else 1
      for j in range(1, layers + 1):
        x = layer(
            features,
            stride=2 if j == 1 else 1,
            name=f'{role}_stem{i}_conv{j}',
        )(x, train)
    return x

  def heads(self, layer, head, maps, role, ends, train):
    """Returns the scores of each head from a map of each scale.

    Args:
      layer: creates convolutions.
      head: creates heads.
      maps: [B, h, w, C] each.
      role: see `Pass`.
      ends: see `Pass`.
      train: whether norms take statistics from the batch.
    """
    fine = [self.channels(scale, ends) for scale in range(SCALES)]
    maps = [x[..., :n] for x, n in zip(maps, fine, strict=True)]
    decoded = [maps[0]]
    for scale in range(1, SCALES):
      x = maps[scale]
      for to in range(scale - 1, -1, -1):
        name = f'{role}_%s{scale}_{to}'
        x = layer(fine[to], kernel=1, name=name % 'arm')(x, train)
        x = resize(x, maps[to].shape[1:3], align_corners=True)
        x = jnp.concatenate([x, maps[to]], -1)
        x = layer(fine[to], name=name % 'refine')(x, train)
      decoded.append(x)
    scores = {}
    for name in HEADS:
      x = jnp.concatenate(
          [decoded[int(scale)] for scale in name.removeprefix('head')], -1
      )
      channels = x.shape[-1]
      features = channels if channels <= 256 else channels // 2
      conv = functools.partial(ConvNormAct, init=he_fan_in)
      scores[name] = head(features, conv, name=f'{role}_{name}')(x, train)
    return scores


def _created_once(module):
  """Returns a function that creates a module for a name, or returns that."""
  known = {}

  def create(*args, name, **options):
    if name not in known:
      known[name] = module(*args, name=name, **options)
    return known[name]

  return create


def _stack(*values):
  """Returns numbers or arrays as one array."""
  return jnp.stack([jnp.asarray(value) for value in values])


def _filled(x, channels):
  """Returns features with zeros behind, so many channels in all."""
  return jnp.pad(x, ((0, 0),) * 3 + ((0, channels - x.shape[-1]),))


def cell_widths(layer: int, scale: int, layers: int, widths, end) -> tuple:
  """Returns the widths that a cell reads, keeps and, or None, goes down with.

  Args:
    layer: of the cell.
    scale: of the cell.
    layers: number of layers.
    widths: of each scale a list of widths.
    end: that of stem and heads.
  """
  before, after = layer - 1, layer
  if scale:
    before, after = layer - scale, layer - scale + 1
  read = widths[scale][before] if layer else end
  if layer == layers - 1:
    return read, end, None
  down = widths[scale + 1][layer - scale] if scale < SCALES - 1 else None
  return read, widths[scale][after], down
