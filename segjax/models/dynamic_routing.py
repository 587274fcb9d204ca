"""Dynamic routing, https://arxiv.org/abs/2003.10401.

A grid of cells over layers and four scales. In each cell a gate that looks at
the image decides how much of the result stays at its scale, goes to the finer
and to the coarser one; a gate that is closed saves the computation. A budget
loss trades accuracy for operations. As the authors' code
(yanwei-li/DynamicRouting) builds it, and checked against it; that code skips a
cell in evaluation if it is closed for all images of a batch, and here each
image is routed on its own, as by that code in batches of one.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.conv import he_fan_in
from segjax.layers.dropout import ScheduledDropPath
from segjax.ops.reduce import batch_mean
from segjax.ops.resize import rescale
from segjax.ops.resize import resize

SCALES = 4  # Strides 4, 8, 16 and 32.
CLOSED = 1e-4  # A sum of gates below it closes a cell.
PATHS = ('keep', 'up', 'down')


class Gate(nn.Module):
  """Weights of the paths of a cell, from 0 to 1, for each image: [B, paths]."""

  paths: int
  bias: float  # At the start; a gate is open above 0.
  small: bool  # Looks at a quarter of the size.

  @nn.compact
  def __call__(self, x, train):
    if self.small:
      x = rescale(x, 0.25)
    x = ConvNormAct(x.shape[-1] // 2, kernel=1, init=he_fan_in, name='reduce')(
        x, train
    )
    x = nn.Dense(
        self.paths,
        kernel_init=he_fan_in,
        bias_init=nn.initializers.constant(self.bias),
        name='score',
    )(x.mean((1, 2)))
    return nn.relu(jnp.tanh(x))


class SeparableConvs(nn.Module):
  """Two 3x3 convolutions within channels, each followed by a 1x1 one."""

  @nn.compact
  def __call__(self, x, train):
    features = x.shape[-1]
    for i, act in ((1, nn.relu), (2, None)):
      x = conv(features, groups=features, init=he_fan_in, name=f'depthwise{i}')(
          x
      )
      x = ConvNormAct(
          features, kernel=1, act=act, init=he_fan_in, name=f'pointwise{i}'
      )(x, train)
    return x


class Cell(nn.Module):
  """Figure 3: separable convolutions, and gated paths to three scales."""

  paths: tuple[str, ...]  # Some of `PATHS`, in their order.
  gate_bias: float
  small_gate: bool
  drop: float  # Share of the convolutions that drop path leaves out at the end.

  @remat.block
  @nn.compact
  def __call__(self, x, present, progress, train):
    """Returns the results of the paths and the gates.

    Args:
      x: [B, h, w, C].
      present: [B] booleans, whether a path leads here; in evaluation alone.
      progress: share of the training that is done, [].
      train: whether norms take statistics from the batch.

    Returns:
      {path: [B, ...]}, and the gates, [B, paths] in the order of `paths`.
    """
    gates = Gate(len(self.paths), self.gate_bias, self.small_gate, name='gate')(
        x, train
    )
    if not train:
      is_open = present & (gates.sum(-1) >= CLOSED)
      gates = jnp.where(is_open[:, None], gates, 0)
    y = SeparableConvs(name='convs')(x, train)
    y = ScheduledDropPath(self.drop)(y, progress, train)
    y = nn.relu(y + x)
    results = {'keep': y}
    channels = x.shape[-1]
    if 'up' in self.paths:
      results['up'] = ConvNormAct(
          channels // 2, kernel=1, init=he_fan_in, name='up'
      )(y, train)
    if 'down' in self.paths:
      results['down'] = ConvNormAct(
          2 * channels, kernel=1, stride=2, init=he_fan_in, name='down'
      )(y, train)
    for i, path in enumerate(self.paths):
      results[path] *= gates[:, i, None, None, None]
    # A closed cell passes on what it was given.
    closed = (gates.sum(-1) < CLOSED).astype(x.dtype)
    results['keep'] += closed[:, None, None, None] * x
    return results, gates


class Route(NamedTuple):
  """What leads from a cell to a cell of the next layer."""

  features: jax.Array  # [B, h, w, C], weighted by the gate.
  real: jax.Array  # Cost where the gate is open, [B].
  expected: jax.Array  # Cost weighted by the gate, [B].
  leads: jax.Array  # Whether the cell that it comes from is open, [B].


class Model(nn.Module):
  """Stem, routed cells, and a decoder that adds up the scales; figure 2.

  'mflops' of the outputs are the millions of operations for each image, along
  open paths, [B], and 'expected_mflops' those of the cells weighted by their
  gates, [B]. Both are counted for images of `cost_size`.
  """

  num_classes: int
  layers: int = 16  # Or 33.
  features: int = 64  # At stride 4; each coarser scale has twice as many.
  stem_features: int = 64
  small_gate: bool = False  # Networks with a budget have it.
  gate_bias: float = 1.5
  drop_path: float = 0.0  # Of the last layer, at the end of training.
  cost_size: tuple[int, int] = (1024, 2048)  # (height, width).

  reads = ('image',)
  train_reads = ('image', 'progress')

  @property
  def multiple(self):
    return 128 if self.small_gate else 32

  @nn.compact
  def __call__(self, image, progress=0.0, *, train=False):
    costs = Costs(self.cost_size, self.features, self.small_gate)
    x = self.stem(image, train)
    sizes = [x.shape[1:3]]
    for _ in range(1, SCALES):
      sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    start = Route(x, 0.0, 0.0, jnp.ones(len(x), bool))
    cell = functools.partial(self.cell, costs, train=train)
    routes, _ = cell([start], 0, ('keep', 'down'), name='first')
    given = [routes]  # By scale, routes by path.
    real = expected = 0.0
    for layer in range(self.layers):
      outputs = []
      for scale in range(min(layer + 2, SCALES)):
        found = [
            given[source][path]._replace(
                features=resize(given[source][path].features, sizes[scale])
            )
            for path, source in (
                *(('down', scale - 1), ('keep', scale), ('up', scale + 1)),
            )
            if 0 <= source < len(given) and path in given[source]
        ]
        paths = ['keep']
        if layer < self.layers - 1:
          paths += ['up'] * (scale > 0) + ['down'] * (scale < SCALES - 1)
        routes, gates = cell(
            found,
            scale,
            tuple(paths),
            progress,
            self.drop_path * (layer + 1) / self.layers,
            name=f'layer{layer}_{scale}',
        )
        # In the order of the authors' code, to round alike.
        open_cell = (gates.sum(-1) > CLOSED) * costs.cell(scale)
        real += (
            open_cell
            + sum(r.real for r in found)
            + costs.gate(scale, len(paths))
        )
        expected += gates.max(-1) * costs.cell(scale) + sum(
            r.expected for r in found
        )
        outputs.append(routes)
      given = outputs
    y = self.decoder([routes['keep'].features for routes in given], train)
    logits = conv(
        self.num_classes, 3, bias=True, init=he_fan_in, name='classifier'
    )(y)
    real += costs.stem(self.stem_features)
    real += costs.decoder(self.num_classes)
    return {
        'logits': resize(logits, image.shape[1:3]),
        'aux': {},
        'mflops': real,
        'expected_mflops': expected,
    }

  def stem(self, image, train):
    """Returns features at stride 4."""
    width = self.stem_features
    x = ConvNormAct(width, stride=2, padding=0, init=he_fan_in, name='stem1')(
        image, train
    )
    for i, stride, features in ((2, 1, width), (3, 2, self.features)):
      x = conv(
          width, stride=stride, groups=width, init=he_fan_in, name=f'stem{i}_in'
      )(x)
      x = ConvNormAct(features, kernel=1, init=he_fan_in, name=f'stem{i}')(
          x, train
      )
    return x

  def cell(
      self, costs, found, scale, paths, progress=0.0, drop=0.0, *, train, name
  ):
    """Returns the routes from a cell, by path, and its gates in float32.

    Args:
      costs: `Costs`.
      found: routes that lead here.
      scale: 0 for stride 4.
      paths: see `Cell`.
      progress: share of the training that is done.
      drop: see `Cell`.
      train: whether norms take statistics from the batch.
      name: of the cell.
    """
    x = sum(route.features for route in found)
    here = jnp.stack([route.leads for route in found]).any(0)
    results, gates = Cell(
        paths, self.gate_bias, self.small_gate, drop, name=name
    )(x, here, jnp.float32(progress), train)
    gates = gates.astype(jnp.float32)
    is_open = gates.sum(-1) >= CLOSED
    routes = {}
    for i, path in enumerate(paths):
      cost = costs.path(scale, path)
      routes[path] = Route(
          results[path],
          (gates[:, i] > CLOSED) * cost,
          gates[:, i] * cost,
          here if path == 'keep' else here & is_open,
      )
    return routes, gates

  def decoder(self, maps, train):
    """Returns features at stride 4, from those of all scales."""
    y = None
    for scale in reversed(range(len(maps))):
      x = maps[scale]
      y = x if y is None else x + resize(y, x.shape[1:3])
      y = ConvNormAct(
          x.shape[-1] // (2 if scale else 1),
          kernel=1,
          init=he_fan_in,
          name=f'decode{scale}',
      )(y, train)
    return y


@dataclasses.dataclass(frozen=True)
class Costs:
  """Millions of operations of the parts, as the authors' code counts them.

  A multiplication with its addition is one operation, a norm has two for each
  number, an activation one.

  Attributes:
    size: (height, width) of the image.
    features: channels at stride 4.
    small_gate: see `Gate`.
  """

  size: tuple[int, int]
  features: int
  small_gate: bool

  def _channels(self, scale):
    return self.features * 2**scale

  def _pixels(self, stride):
    """Returns how many pixels a map at a stride has, in millions."""
    height, width = self.size
    return (height // stride) * (width // stride) / 1e6

  def cell(self, scale: int) -> float:
    """Returns the cost of the separable convolutions of a cell."""
    channels = self._channels(scale)
    each = 2 * (9 + channels) + 3 + 2
    return self._pixels(4 * 2**scale) * channels * each

  def gate(self, scale: int, paths: int) -> float:
    """Returns the cost of a gate of so many paths."""
    channels = self._channels(scale)
    hidden = channels // 2
    stride = 4 * 2**scale * (4 if self.small_gate else 1)
    # The last 1 is the mean over the image.
    each = self._pixels(stride) * hidden * (channels + 3 + 1)
    return each + hidden * paths / 1e6

  def path(self, scale: int, path: str) -> float:
    """Returns the cost of one of `PATHS` without resizing."""
    channels, stride = self._channels(scale), 4 * 2**scale
    cost = self._pixels(stride) * channels
    if path == 'up':
      cost += self._pixels(stride) * (channels // 2) * (channels + 3)
    if path == 'down':
      cost += self._pixels(2 * stride) * (2 * channels) * (channels + 3)
    return cost

  def stem(self, width: int) -> float:
    """Returns the cost of the stem, of `width` channels inside."""
    second = width * (27 + 3) + width * 9 + width * (width + 3)
    third = width * 9 + self.features * (width + 3)
    return self._pixels(2) * second + self._pixels(4) * third

  def decoder(self, num_classes: int) -> float:
    """Returns the cost of decoder and classifier.

    That code counts them for a square as high as the image.
    """
    square = dataclasses.replace(self, size=(self.size[0],) * 2)
    cost = square._pixels(4) * 9 * self.features * num_classes
    for scale in range(SCALES):
      channels = self._channels(scale)
      features = channels // (2 if scale else 1)
      cost += square._pixels(4 * 2**scale) * features * (channels + 3)
    return cost


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    budget_weight: float = 0.0,
    budget: float = 0.1,
    all_mflops: float = 26_300.0,
    begin: float = 0.4,
    warmup: float = 0.02,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the budget loss, the squared distance from a share of all operations.

  The expected operations are averaged over the batch before they are squared:
  over that of all devices, and over one part of it if a device works through
  its batch in parts.

  Args:
    out: outputs of the model.
    batch: what they are outputs for, with 'progress'.
    rng: key of the step.
    base: loss of the task.
    budget_weight: factor of the added term; 0 adds none.
    budget: the share, mu in the paper.
    all_mflops: millions of operations that the share is of.
    begin: share of the training before which there is no budget.
    warmup: share of the training in which the term grows to its full weight.
  """
  total, parts = base(out, batch, rng)
  mean = {name: batch_mean(out[name]) for name in ('mflops', 'expected_mflops')}
  ramp = jnp.clip((batch['progress'] - begin) / warmup, 0, 1)
  distance = mean['expected_mflops'] / all_mflops - budget
  term = budget_weight * ramp * distance**2
  return total + term, {**parts, **mean, 'budget': term}
