"""The search of Auto-DeepLab, https://arxiv.org/abs/1901.02985.

A network of all cells and paths at once: each edge of a cell is the mean of all
operations, weighted by the softmax of `alphas`, and each cell adds up what
comes from the finer, the same and the coarser level, weighted by `betas`.
Gradient descent learns these beside the weights, in turns and from another part
of the images, by `config.optim.groups` and `config.dataset.by_turn`; `decode`
reads the network off them that `autodeeplab` then trains. The authors have
published no search; this is NoamRosenberg's, and checked against it.
"""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.conv import he_fan_in
from segjax.layers.norm import BatchNorm
from segjax.layers.operations import SEARCHED
from segjax.layers.operations import pool3
from segjax.ops.resize import resize

LEVELS = 4  # Strides 4, 8, 16 and 32.
UP, SAME, DOWN = range(3)  # Of betas: to the finer level, and so on.


class Norms(nn.Module):
  """Normalises several inputs, one after the other, by a norm without scale."""

  inputs: int

  @nn.compact
  def __call__(self, x, train):
    """Returns [inputs * B, h, w, C]; the statistics are of B images each."""
    norm = BatchNorm(train, use_scale=False, use_bias=False, name='norm')
    if not train or self.inputs == 1:
      return norm(x)
    return jnp.concatenate([norm(part) for part in jnp.split(x, self.inputs)])


class Convs(nn.Module):
  """The convolutions of an operation on all edges of a block.

  ReLU, a convolution within channels, one across those of each edge, and a
  norm; as often as `times` says.
  """

  edges: int
  inputs: int
  kernel: int
  dilation: int
  times: int

  @nn.compact
  def __call__(self, x, train):
    channels = x.shape[-1]
    for i in range(1, self.times + 1):
      x = conv(
          channels,
          self.kernel,
          dilation=self.dilation,
          groups=channels,
          init=he_fan_in,
          name=f'depthwise{i}',
      )(nn.relu(x))
      x = conv(
          channels, 1, groups=self.edges, init=he_fan_in, name=f'pointwise{i}'
      )(x)
      x = Norms(self.inputs, name=f'norm{i}')(x, train)
    return x


class Block(nn.Module):
  """Adds up all operations on all edges, weighted.

  What has its own weights on each edge is computed of all edges at once, as
  groups of channels.
  """

  inputs: int

  @nn.compact
  def __call__(self, states, weights, train):
    """Returns [inputs * B, h, w, C].

    Args:
      states: E arrays [inputs * B, h, w, C], one for each edge.
      weights: [E, operations].
      train: whether norms take statistics from the batch.
    """
    edges, channels = len(states), states[0].shape[-1]
    x = jnp.concatenate(states, -1)
    convs = functools.partial(Convs, edges, self.inputs)
    total = 0
    for kind, weight in zip(SEARCHED, weights.T, strict=True):
      match kind:
        case 'none':
          continue
        case 'skip':
          y = x
        case 'max3' | 'avg3':
          y = Norms(self.inputs, name=kind)(pool3(kind, x), train)
        case 'sep3' | 'sep5':
          y = convs(int(kind[-1]), 1, 2, name=kind)(x, train)
        case 'dil3' | 'dil5':
          y = convs(int(kind[-1]), 2, 1, name=kind)(x, train)
      total += y * jnp.repeat(weight.astype(x.dtype), channels)
    return total.reshape(*total.shape[:3], edges, channels).sum(-2)


class Cell(nn.Module):
  """Computes the same blocks of each of up to three inputs."""

  features: int
  blocks: int
  size: tuple[int, int]  # (height, width) of its level.

  @remat.block
  @nn.compact
  def __call__(self, before, given, alphas, train):
    """Returns an array [B, h, w, blocks * features] for each input.

    Args:
      before: output of the level in the layer before last, or None.
      given: {'down', 'same', 'up': output of a level of the last layer}.
      alphas: [edges, operations], weights that add up to 1 on each edge.
      train: whether norms take statistics from the batch.
    """
    project = functools.partial(
        ConvNormAct,
        self.features,
        kernel=1,
        norm=functools.partial(BatchNorm, use_scale=False, use_bias=False),
        act=None,
        init=he_fan_in,
    )
    inputs = []
    for name, x in given.items():
      x = resize(x, self.size, align_corners=True)
      inputs.append(project(name=name)(nn.relu(x), train))
    states = [jnp.concatenate(inputs)]
    if before is not None:
      before = resize(before, self.size, align_corners=True)
      before = project(name='before')(nn.relu(before), train)
      states.insert(0, jnp.concatenate([before] * len(inputs)))
    edge = 0
    for i in range(self.blocks):
      weights = alphas[edge : edge + 2 + i]
      edge += len(weights)
      block = Block(len(inputs), name=f'block{i}')
      # Without the layer before last the first edge is left out.
      states.append(block(states, weights[-len(states) :], train))
    y = jnp.concatenate(states[-self.blocks :], -1)
    return jnp.split(y, len(inputs))


class SmallASPP(nn.Module):
  """A 1x1 and a dilated 3x3 convolution, the image's mean, and a classifier."""

  num_classes: int
  rate: int

  @nn.compact
  def __call__(self, x, train):
    layer = functools.partial(
        ConvNormAct, x.shape[-1], kernel=1, act=None, init=he_fan_in
    )
    mean = layer(act=nn.relu, name='image')(
        x.mean((1, 2), keepdims=True), train
    )
    branches = [
        layer(name='point')(x, train),
        layer(kernel=3, dilation=self.rate, name='atrous')(x, train),
        jnp.broadcast_to(mean, x.shape),
    ]
    # That code passes 3e-4 as the epsilon and means it to be the momentum.
    norm = functools.partial(BatchNorm, epsilon=3e-4)
    x = layer(norm=norm, name='project')(jnp.concatenate(branches, -1), train)
    return conv(self.num_classes, 1, init=he_fan_in, name='classifier')(x)


def normalized_betas(betas: jax.Array) -> jax.Array:
  """Returns the weights of moves between levels, [layers, 4, 3].

  A level's weights are the softmax of its betas over the moves that it has,
  times 2/3 at the finest and at the coarsest level, which have two. Levels that
  a layer cannot start from have 0.

  Args:
    betas: [layers, 4, 3], raw; the last axis is `UP`, `SAME`, `DOWN`.
  """
  moves = np.ones((LEVELS, 3), bool)
  moves[0, UP] = moves[-1, DOWN] = False
  weights = jax.nn.softmax(jnp.where(moves, betas, -jnp.inf), -1)
  weights *= moves.sum(-1, keepdims=True) / 3
  reached = np.arange(len(betas))[:, None] >= np.arange(LEVELS)
  return jnp.where(reached[..., None], weights, 0)


class Model(nn.Module):
  """Stem, cells on all levels of all layers, and a head on each level."""

  num_classes: int
  layers: int = 12
  features: int = 8  # Of each block at stride 4; F in the paper.
  blocks: int = 5  # Of each cell; B in the paper.
  # Weighs staying at stride 8 in layer 1 like going coarser, a slip of that
  # code.
  slip: bool = False

  @nn.compact
  def __call__(self, image, *, train=False):
    edges = sum(2 + i for i in range(self.blocks))
    small = nn.initializers.normal(1e-3)
    alphas = self.param('alphas', small, (edges, len(SEARCHED)))
    betas = self.param('betas', small, (self.layers, LEVELS, 3))
    alphas = jax.nn.softmax(alphas, -1)
    betas = normalized_betas(betas).astype(image.dtype)
    if self.slip:
      betas = betas.at[1, 1, SAME].set(betas[1, 1, DOWN])
    x = self.stem(image, train)
    sizes = [x.shape[1:3]]
    for _ in range(1, LEVELS):
      # The centres of the corner pixels stay, but if a side is even.
      sizes.append(tuple((side + side % 2) // 2 for side in sizes[-1]))
    history = [[x]]  # Of each level the outputs of layers, the newest last.
    count = 0
    for layer in range(self.layers):
      outputs = []
      for level in range(min(layer + 2, LEVELS)):
        cell = Cell(
            self.features * 2**level,
            self.blocks,
            sizes[level],
            name=f'cell{count}',
        )
        outputs.append(
            self.output(cell, history, level, alphas, betas[layer], train)
        )
        count += 1
      for level, x in enumerate(outputs):
        if level == len(history):
          history.append([])
        history[level] = [*history[level][-1:], x]
    total = 0
    for level, outputs in enumerate(history):
      # A rate of 96 pixels at all strides.
      head = SmallASPP(self.num_classes, 24 // 2**level, name=f'head{level}')
      scores = head(outputs[-1], train)
      total += resize(scores, image.shape[1:3], align_corners=True)
    return {'logits': total, 'aux': {}}

  def stem(self, image, train):
    """Returns features at stride 4."""
    x, half = image, self.features // 2 * self.blocks
    for i, (features, stride) in enumerate(
        ((half, 2), (half, 1), (self.features * self.blocks, 2))
    ):
      x = ConvNormAct(
          features, stride=stride, bias=True, init=he_fan_in, name=f'stem{i}'
      )(x, train)
    return x

  def output(self, cell, history, level, alphas, betas, train):
    """Returns what a cell makes of up to three levels, weighted by `betas`.

    Args:
      cell: the `Cell`.
      history: of each level the outputs of up to two layers before.
      level: of the cell.
      alphas: see `Cell`.
      betas: weights of the moves to this layer, [4, 3].
      train: whether norms take statistics from the batch.
    """
    given, weights = {}, []
    for name, source, move in (
        *(('down', level - 1, DOWN), ('same', level, SAME)),
        ('up', level + 1, UP),
    ):
      if 0 <= source < len(history):
        given[name] = history[source][-1]
        weights.append(betas[source, move])
    before = None
    if level < len(history) and len(history[level]) > 1:
      before = history[level][-2]
    results = cell(before, given, alphas, train)
    return sum(w * y for w, y in zip(weights, results, strict=True))


def best_levels(betas: np.ndarray) -> tuple[int, ...]:
  """Returns the most probable path through the levels, by Viterbi.

  Args:
    betas: [layers, 4, 3], weights of the moves, from `normalized_betas`.

  Returns:
    The level of each layer. The path starts at level 0 before the first.
  """
  best = np.array([1.0, 0, 0, 0])  # Of paths to each level.
  sources = []
  for moves in np.asarray(betas, np.float64):
    # Probability of a path to a level [to] through a level [from] before it.
    through = np.zeros((LEVELS, LEVELS))
    for move, step in ((DOWN, 1), (SAME, 0), (UP, -1)):
      for source in range(LEVELS):
        if 0 <= source + step < LEVELS:
          through[source + step, source] = best[source] * moves[source, move]
    sources.append(through.argmax(1))
    best = through.max(1)
  levels = [int(best.argmax())]
  for source in reversed(sources[1:]):
    levels.append(int(source[levels[-1]]))
  return tuple(reversed(levels))


def best_cell(alphas: np.ndarray) -> tuple[tuple[int, str], ...]:
  """Returns the strongest edges and operations of each block of a cell.

  A block keeps the two edges whose strongest operation other than none is
  strongest, and on each this operation.

  Args:
    alphas: [edges, operations], raw or after the softmax of each edge.

  Returns:
    Two pairs (state, operation) for each block, the stronger one first.
  """
  # Of raw values the strongest edge is that of the largest probability.
  weights = np.asarray(jax.nn.softmax(jnp.asarray(alphas), -1))[:, 1:]
  pairs, start, states = [], 0, 2
  while start < len(weights):
    block = weights[start : start + states]
    for state in np.argsort(-block.max(1), kind='stable')[:2]:
      pairs.append((int(state), SEARCHED[1 + int(block[state].argmax())]))
    start, states = start + states, states + 1
  return tuple(pairs)


def first_low(levels: tuple[int, ...]) -> int:
  """Returns the last cell before a path first leaves its finest level."""
  finest = min(levels)
  return next(
      i
      for i, level in enumerate(levels)
      if level == finest and levels[i + 1 : i + 2] != (finest,)
  )


def decode(params: dict) -> dict:
  """Returns what the search has found, as fields of `autodeeplab`.

  Args:
    params: of the search's model.
  """
  betas = np.asarray(normalized_betas(jnp.asarray(params['betas'])))
  levels = best_levels(betas)
  return {
      'levels': levels,
      'cell': best_cell(np.asarray(params['alphas'])),
      'low': first_low(levels),
  }
