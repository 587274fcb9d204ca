"""Convolutions and norms that are used at any of several widths.

One set of weights serves all widths: a narrower layer has the first of the
channels of a wider one (Yu et al., Slimmable Neural Networks, 2019,
https://arxiv.org/abs/1812.08928). Shapes stay those of the widest, with zeros
in the channels that a width has not, so that a width can be drawn on the
device.
"""

from collections.abc import Sequence
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.conv import Conv
from segjax.layers.conv import he_fan_in
from segjax.ops import normalize

EPSILON, MOMENTUM = 1e-5, 0.9  # Of norms.


class Width(NamedTuple):
  """A width of the list of widths, and what it multiplies features by.

  The score is 1; if the width is sampled, the gradient reaches its probability
  through the score. The widths of several cells are arrays, see `of_cells`.
  """

  index: jax.Array | int
  score: jax.Array | float = 1.0


def of_cells(widths: Width) -> list[Width]:
  """Returns the width of each cell from arrays, [cells]."""
  return [Width(*one) for one in zip(*widths, strict=True)]


def sampled(ratios: jax.Array, uniform: jax.Array) -> Width:
  """Draws the widths of cells by straight-through Gumbel softmax.

  Args:
    ratios: [cells, widths], raw.
    uniform: [cells, widths], random numbers from 0 to 1.

  Returns:
    A `Width` with [cells] in its fields.
  """
  noise = -jnp.log(-jnp.log(uniform + 1e-20) + 1e-20)
  soft = jax.nn.softmax(jax.nn.log_softmax(ratios) + noise)
  index = soft.argmax(-1)
  chosen = jnp.take_along_axis(soft, index[:, None], -1)[:, 0]
  return Width(index, 1 + chosen - jax.lax.stop_gradient(chosen))


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
  """Batch norm with statistics, scale and bias of its own for each width.

  What lies beyond the channels that a width has is not used.
  """

  widths: tuple[int, ...]
  inputs: int = 1  # Several are normalised one after the other.

  @nn.compact
  def __call__(self, x, width, train):
    shape = len(self.widths), x.shape[-1]
    ones, zeros = nn.initializers.ones, nn.initializers.zeros
    scale = self.param('scale', ones, shape)[width.index]
    bias = self.param('bias', zeros, shape)[width.index]
    mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
    var = self.variable('batch_stats', 'var', jnp.ones, shape)
    # Channels that are zeros stay so.
    used = mask(shape[1], self.widths, width).astype(x.dtype)
    scale, bias = scale * used, bias * used
    if not train:
      statistics = mean.value[width.index], var.value[width.index]
      return normalize.normalize(x, *statistics, scale, bias, epsilon=EPSILON)
    parts = []
    for part in jnp.split(x, self.inputs):
      y, *new = normalize.normalize_batch(part, scale, bias, EPSILON)
      parts.append(y)
      if not self.is_initializing():
        for variable, value in zip((mean, var), new, strict=True):
          rows = jnp.asarray(variable.value)
          moved = MOMENTUM * rows[width.index] + (1 - MOMENTUM) * value
          variable.value = rows.at[width.index].set(moved)
    return jnp.concatenate(parts)


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
        kernel_init=he_fan_in,
        name='conv',
    )(x)
    return x * mask(self.features, self.widths, width).astype(x.dtype)
