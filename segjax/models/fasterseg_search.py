"""The search of FasterSeg, https://arxiv.org/abs/1912.10917.

A network of all operations and paths at once, on three scales, for two
architectures that share its cells: a teacher at full width, and a student whose
widths are sampled and whose expected latency is a part of the loss. Gradient
descent learns both in turns with the weights and from other images, see
`config.optim.groups` and `config.dataset.by_turn`; `decode` reads the networks
off them that `fasterseg` then trains. As the authors' code
(VITA-Group/FasterSeg) builds it, and checked against it. Its factor of the
latency changes with the speed of what is found so far; here it is constant.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers import remat
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import FCNHead
from segjax.ops import normalize
from segjax.ops.resize import resize
from segjax.ops.targets import shrink_label

OPERATIONS = ('skip', 'conv', 'conv_downup', 'conv_2x', 'conv_2x_downup')
SCALES = 3  # Strides 8, 16 and 32.
HEADS = ('head0', 'head1', 'head2', 'head02', 'head12')
EPSILON, MOMENTUM = 1e-5, 0.9  # Of norms.

fan_in = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


class Width(NamedTuple):
  """A width of the list of widths, and what it multiplies features by.

  The score is 1; if the width is sampled, the gradient reaches its probability
  through the score.
  """

  index: jax.Array | int
  score: jax.Array | float = 1.0


def divisible(channels: float) -> int:
  """Returns the multiple of 8 near a number, not below nine tenths of it."""
  rounded = max(1, int(channels + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * channels else rounded


def counts(channels: int, widths: Sequence[int]) -> list[int]:
  """Returns the channels at each width, in twelfths."""
  return [divisible(channels * width / 12) for width in widths]


def mask(channels: int, widths: Sequence[int], width: Width) -> jax.Array:
  """Returns ones for the channels that a width has, and zeros, [channels]."""
  count = jnp.array(counts(channels, widths))[width.index]
  return (jnp.arange(channels) < count).astype(jnp.float32)


class WidthNorm(nn.Module):
  """Batch norm with statistics, scale and bias of its own for each width."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x, width, train):
    channels = x.shape[-1]
    stacked, moving = [], []
    for i, count in enumerate(counts(channels, self.widths)):
      scale = self.param(f'scale{i}', nn.initializers.ones, (count,))
      bias = self.param(f'bias{i}', nn.initializers.zeros, (count,))
      mean = self.variable('batch_stats', f'mean{i}', jnp.zeros, (count,))
      var = self.variable('batch_stats', f'var{i}', jnp.ones, (count,))
      more = (0, channels - count)
      stacked.append([
          *(jnp.pad(part, more) for part in (scale, bias, mean.value)),
          jnp.pad(var.value, more, constant_values=1),
      ])
      moving.append((mean, var))
    scale, bias, mean, var = (
        jnp.stack(parts)[width.index] for parts in zip(*stacked, strict=True)
    )
    if not train:
      return normalize.normalize(x, mean, var, scale, bias, epsilon=EPSILON)
    y, *statistics = normalize.normalize_batch(x, scale, bias, EPSILON)
    if not self.is_initializing():
      for i, variables in enumerate(moving):
        used = width.index == i
        for variable, new in zip(variables, statistics, strict=True):
          old = variable.value
          moved = MOMENTUM * old + (1 - MOMENTUM) * new[: len(old)]
          variable.value = jnp.where(used, moved, old)
    return y


class Slim(nn.Module):
  """A convolution whose output channels beyond the width are zeros.

  Those of its input that are beyond its width are zeros already, so that the
  rest of the kernel does not count.
  """

  features: int
  widths: tuple[int, ...]
  kernel: int = 3
  stride: int = 1

  @nn.compact
  def __call__(self, x, width):
    side = self.kernel
    x = Conv(
        self.features,
        (side, side),
        strides=self.stride,
        padding=[((side - 1) // 2,) * 2] * 2,
        use_bias=False,
        kernel_init=fan_in,
        name='conv',
    )(x)
    return x * mask(self.features, self.widths, width).astype(x.dtype)


class Operation(nn.Module):
  """One of `OPERATIONS` at any width."""

  operation: str
  features: int
  stride: int
  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x, width, train):
    if self.operation == 'skip':
      return self.skip(x, width, train)
    size, stride = x.shape[1:3], self.stride
    downup = self.operation.endswith('downup')
    if downup:
      half = tuple(max(side // 2, 1) for side in size)
      x, stride = resize(x, half, align_corners=True), 1
    layers = 2 if '2x' in self.operation else 1
    for i in range(1, layers + 1):
      x = Slim(
          self.features,
          self.widths,
          stride=stride if i == 1 else 1,
          name=f'conv{i}',
      )(x, width)
      x = WidthNorm(self.widths, name=f'norm{i}')(x, width, train)
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
        WidthNorm(self.widths, name='norm')(y, width, train)
    )


class Mixture(nn.Module):
  """The sum of all operations, weighted by `alphas` [operations]."""

  features: int
  stride: int
  widths: tuple[int, ...]

  @remat.block
  @nn.compact
  def __call__(self, x, alphas, read, write, train):
    """Returns [B, h, w, features].

    Args:
      x: [B, H, W, C], with zeros beyond its width.
      alphas: weights of the operations.
      read: width of x.
      write: width of the result.
      train: whether norms take statistics from the batch.
    """
    total = 0
    for i, name in enumerate(OPERATIONS):
      operation = Operation(
          name, self.features, self.stride, self.widths, name=name
      )
      total += alphas[i].astype(x.dtype) * operation(x, write, train)
    return total * jnp.asarray(read.score * write.score, x.dtype)


class Network(nn.Module):
  """Stems and heads of both architectures, and the cells that they share."""

  num_classes: int
  layers: int
  features: int
  widths: tuple[int, ...]

  def channels(self, scale, width=12):
    """Returns the channels at stride 8 * 2^scale, for a width in twelfths."""
    return round(self.features * 8 * 2**scale * width / 12)

  @nn.compact
  def __call__(self, image, role, ends, alphas, betas, widths, train):
    """Returns {head: scores [B, h, w, num_classes] at stride 8}.

    Args:
      image: [B, H, W, C].
      role: 'teacher' or 'student'.
      ends: width of stem and heads, in twelfths.
      alphas: of each scale the weights of operations, [cells, operations].
      betas: of each scale but the first the weights of what comes from the
        finer and from the same scale, [cells, 2].
      widths: of each scale a list of `Width`.
      train: whether norms take statistics from the batch.
    """
    x = self.stem(image, role, ends, train)
    end = Width(self.widths.index(ends))
    before = [(_filled(x, self.channels(0)), None)]  # Same size, and half.
    for layer in range(self.layers):
      now = []
      for scale in range(min(layer + 1, SCALES)):
        read, keep, down = cell_widths(layer, scale, self.layers, widths, end)
        mixtures = {'keep': Mixture(
            self.channels(scale), 1, self.widths,
            name=f'cell{layer}_{scale}_keep',
        )}
        if down is not None:
          mixtures['down'] = Mixture(
              self.channels(scale + 1), 2, self.widths,
              name=f'cell{layer}_{scale}_down',
          )
        given, weights = [], [1.0]
        if scale:
          given.append(before[scale - 1][1])
        if scale < len(before):
          given.append(before[scale][0])
        if len(given) == 2:
          weights = betas[scale][layer - scale - 1].astype(image.dtype)
        results = {}
        for name, mixture in mixtures.items():
          write = keep if name == 'keep' else down
          results[name] = sum(
              weights[i]
              * mixture(x, alphas[scale][layer - scale], read, write, train)
              for i, x in enumerate(given)
          )
        now.append((results['keep'], results.get('down')))
      before = now
    return self.heads([keep for keep, _ in before], role, ends, train)

  def stem(self, image, role, ends, train):
    """Returns features at stride 8."""
    x, layer = image, functools.partial(ConvNormAct, init=fan_in)
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

  def heads(self, maps, role, ends, train):
    """Returns the scores of each head from a map of each scale."""
    layer = functools.partial(ConvNormAct, init=fan_in)
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
      scores[name] = FCNHead(
          self.num_classes, 0.0, features, layer, name=f'{role}_{name}'
      )(x, train)
    return scores


def _filled(x, channels):
  """Returns features with zeros behind, so many channels in all."""
  return jnp.pad(x, ((0, 0),) * 3 + ((0, channels - x.shape[-1]),))


def cell_widths(
    layer: int, scale: int, layers: int, widths, end
) -> tuple:
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


def sampled(ratios: jax.Array, uniform: jax.Array) -> list[Width]:
  """Draws widths by straight-through Gumbel softmax.

  Args:
    ratios: [cells, widths], raw.
    uniform: [cells, widths], random numbers from 0 to 1.
  """
  noise = -jnp.log(-jnp.log(uniform + 1e-20) + 1e-20)
  soft = jax.nn.softmax(jax.nn.log_softmax(ratios) + noise)
  index = soft.argmax(-1)
  chosen = jnp.take_along_axis(soft, index[:, None], -1)[:, 0]
  scores = 1 + chosen - jax.lax.stop_gradient(chosen)
  return [Width(i, score) for i, score in zip(index, scores, strict=True)]
