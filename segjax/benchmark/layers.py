r"""Times layers that gather pixels, or see far, beside plain convolutions.

  python -m segjax.benchmark.layers --size=64 --channels=64 --seconds=5

A deformable convolution is timed beside a plain one, and beside one that
gathers the image for each of its nine taps; deformable attention over three
maps, the largest of `--size`, beside a plain convolution of each; and the pairs
of strips of SegNeXt beside a plain convolution and one of 21 x 21 for each
channel, which sees as far. All plain ones are 3 x 3. Layers take turns, so that
what else the machine does hits all alike. It prints a table in Markdown: median
and least milliseconds, forward and forward with backward, and the median
relative to that of the plain convolution. On CPUs they are CPU time, the sum
over threads, which does not count what other programs take.
"""

from collections.abc import Callable
import functools
import statistics
import time
from typing import Any

from absl import app
from absl import flags
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax import parallel
from segjax.backbones import mscan
from segjax.kernels.window import Window
from segjax.layers.conv import conv
from segjax.layers.deform_attention import DeformAttention
from segjax.ops.deform_conv import deform_conv
from segjax.ops.points import sample_positions
from segjax.runtime import compile_cache
from segjax.runtime import malloc
from segjax.runtime import progress
from segjax.runtime import terminal

WINDOW = Window(padding=((1, 1), (1, 1)))  # Of a 3x3 convolution.
STRIPS = (7, 11, 21)
HEADS, POINTS = 8, 4  # Of deformable attention in each map, as in Mask2Former.
LEAST = 3  # Turns of each layer.


class Plain(nn.Module):
  """Convolves each of several maps by a 3x3 kernel of its own."""

  @nn.compact
  def __call__(self, maps):
    return [
        conv(x.shape[-1], name=f'conv{i}')(x) for i, x in enumerate(maps, 1)
    ]


class Strips(nn.Module):
  """Adds up convolutions of each channel by pairs of strips, as SegNeXt's."""

  @nn.compact
  def __call__(self, x):
    return sum(
        mscan.depthwise(
            mscan.depthwise(x, (1, n), f'row{n}'), (n, 1), f'column{n}'
        )
        for n in STRIPS
    )


class Square(nn.Module):
  """Convolves each channel by a square as long as the longest strip."""

  @nn.compact
  def __call__(self, x):
    return mscan.depthwise(x, STRIPS[-1], 'square')


class Attention(nn.Module):
  """Deformable attention of each pixel of several maps to all of them."""

  @nn.compact
  def __call__(self, maps):
    sizes = [x.shape[1:3] for x in maps]
    places = [
        (np.indices(size)[::-1].reshape(2, -1).T + 0.5) / size[::-1]
        for size in sizes
    ]
    source = jnp.concatenate(
        [x.reshape(len(x), -1, x.shape[-1]) for x in maps], 1
    )
    attention = DeformAttention(HEADS, POINTS, name='attention')
    places = np.concatenate(places).astype(np.float32)
    return attention(source, source, places, sizes)


def nine_taps(x: jax.Array, offset: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns a deformable 3x3 convolution as a sum over taps.

  Args:
    x: [B, H, W, C].
    offset: [B, H, W, 18], rows and columns by which each tap is moved.
    kernel: [3, 3, C, features].
  """
  batch, height, width, _ = x.shape
  offset = offset.reshape(batch, height, width, 9, 2)
  pixels = np.stack(np.indices((height, width)), -1).astype(np.float32)
  total = 0.0
  for tap in range(9):
    row, column = divmod(tap, 3)
    places = pixels + np.float32([row - 1, column - 1]) + offset[..., tap, :]
    read = sample_positions(x, jnp.flip(places, -1))
    total += read @ kernel[row, column]
  return total


def layers(
    size: tuple[int, int], channels: int
) -> dict[str, dict[str, tuple[Callable, tuple]]]:
  """Returns {group: {layer: (function, its arguments)}}, a plain one first.

  Args:
    size: (height, width) of the map, or of the largest of three.
    channels: of all maps.
  """
  rng = np.random.default_rng(0)

  def noise(*shape):
    return jnp.asarray(rng.standard_normal(shape, np.float32))

  def applied(module, x):
    variables = jax.jit(module.init)(jax.random.key(0), x)
    return module.apply, (variables, x)

  x = noise(1, *size, channels)
  maps = [
      noise(1, *(-(-side // 2**i) for side in size), channels) for i in range(3)
  ]
  moved = x, noise(1, *size, 18), noise(3, 3, channels, channels)
  deformed = functools.partial(deform_conv, window=WINDOW)
  return {
      'deformable convolution': {
          'plain': applied(Plain(), [x]),
          'deformable': (deformed, moved),
          'nine gathered taps': (nine_taps, moved),
      },
      'deformable attention': {
          'plain, each of three maps': applied(Plain(), maps),
          'deformable attention': applied(Attention(), maps),
      },
      'strips': {
          'plain': applied(Plain(), [x]),
          'each channel by 21 x 21': applied(Square(), x),
          'strips of 7, 11 and 21': applied(Strips(), x),
      },
  }


def with_backward(function: Callable) -> Callable:
  """Returns the function with its gradients to all arguments."""

  def both(*args):
    y, pull_back = jax.vjp(function, *args)
    return y, pull_back(y)

  return both


def measure(
    group: dict[str, tuple[Callable, tuple]], seconds: float
) -> dict[str, list[float]]:
  """Times the layers of a group in turns.

  Args:
    group: {layer: (function, its arguments)}.
    seconds: to spend on all of them, after compiling.

  Returns:
    {layer: seconds of each turn}.
  """
  on_cpu = jax.default_backend() == 'cpu'
  clock = time.process_time if on_cpu else time.perf_counter
  options = parallel.compiler_options()
  compiled = {
      name: (jax.jit(function, compiler_options=options), args)
      for name, (function, args) in group.items()
  }
  for function, args in compiled.values():
    jax.block_until_ready(function(*args))
  times = {name: [] for name in compiled}
  start, turns = time.perf_counter(), 0
  while turns < LEAST or time.perf_counter() - start < seconds:
    for name, (function, args) in compiled.items():
      before = clock()
      jax.block_until_ready(function(*args))
      times[name].append(clock() - before)
    turns += 1
  return times


def rows(
    groups: dict[str, dict[str, tuple[Callable, tuple]]], seconds: float
) -> list[tuple[str, ...]]:
  """Returns a line of the table for each layer of each group.

  Args:
    groups: see `layers`.
    seconds: to spend on each group, forward and with backward each.
  """
  lines = []
  for name, group in progress.track(groups.items(), len(groups), 'Layers'):
    cells = {layer: [name, layer] for layer in group}
    for way in (lambda function: function, with_backward):
      times = measure({k: (way(f), x) for k, (f, x) in group.items()}, seconds)
      medians = {k: statistics.median(values) for k, values in times.items()}
      plain = next(iter(medians.values()))
      for layer, values in times.items():
        least, median = min(values), medians[layer]
        cells[layer] += [
            f'{1e3 * median:.3g} ({1e3 * least:.3g})',
            f'{median / plain:.2f}',
        ]
    lines += map(tuple, cells.values())
  return lines


def main(size: list[str], channels: int, seconds: float) -> None:
  """Prints the table."""
  with terminal.errors_in_words():
    sides = [int(side) for side in size]
    if len(sides) > 2 or min(sides) < 1 or channels % HEADS:
      raise ValueError(
          f'--size={",".join(size)} is a side, or height and width, and'
          f' --channels={channels} is a multiple of {HEADS}.'
      )
    titles = 'group', 'layer', 'forward, ms', 'to plain', 'and back', 'to plain'
    lines = [titles, ('---',) * len(titles)]
    lines += rows(layers((sides[0], sides[-1]), channels), seconds)
    for line in lines:
      print(f'| {" | ".join(line)} |')


def _run(argv: list[Any]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  main(_SIZE.value, _CHANNELS.value, _SECONDS.value)


if __name__ == '__main__':
  _SIZE = flags.DEFINE_list(
      'size', ['64', '64'], 'Height and width of the map, or one for both.'
  )
  _CHANNELS = flags.DEFINE_integer(
      'channels', 64, 'Channels of all maps.', lower_bound=1
  )
  _SECONDS = flags.DEFINE_float(
      'seconds', 5.0, 'Seconds for each group, one way.', lower_bound=0.0
  )
  malloc.tune()
  compile_cache.relax_gc()
  app.run(_run, flags_parser=terminal.parse_flags)
