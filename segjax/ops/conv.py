"""Convolution and transposed convolution, with an algorithm for each platform.

On GPUs and TPUs convolutions are XLA's own, which call the vendor's kernels,
but for some gradients, see `gpu_lowering`. XLA for CPUs is fast at dense 3x3
kernels alone, so `lowering` chooses among the algorithms of
`kernels.lowerings` and `kernels.winograd` by the shape, when a step is traced.
All algorithms return the same numbers up to rounding. launch/speed.md has the
measurements.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import math
from typing import Any

import jax
from jax import lax

from segjax import parallel
from segjax.kernels import lowerings
from segjax.kernels import winograd
from segjax.kernels.barrier import barrier
from segjax.kernels.window import Window


def conv_general_dilated(
    x: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[Sequence[int]],
    *,
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
    feature_group_count: int,
    precision: Any,
) -> jax.Array:
  """Convolves with the signature of `lax.conv_general_dilated`, for Flax.

  Raises:
    ValueError: the layout, the dilation of the input or the precision is one
      that `conv` does not have.
  """
  layout = lax.conv_dimension_numbers(x.shape, kernel.shape, lowerings.LAYOUT)
  options = tuple(lhs_dilation), dimension_numbers, precision
  if options != ((1, 1), layout, None):
    raise ValueError(
        f'Convolutions here are {lowerings.LAYOUT}, with an input that is not'
        ' dilated and the default precision; (lhs_dilation, dimension_numbers,'
        f' precision) are {options}. Call lax.conv_general_dilated instead.'
    )
  if isinstance(padding, str):
    reach = [
        d * (k - 1) + 1
        for d, k in zip(rhs_dilation, kernel.shape[:2], strict=True)
    ]
    padding = lax.padtype_to_pads(x.shape[1:3], reach, window_strides, padding)
  window = Window(
      tuple(window_strides),
      tuple(tuple(pad) for pad in padding),
      tuple(rhs_dilation),
      feature_group_count,
  )
  return conv(x, kernel, window)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
  """Convolves an image by a kernel.

  Args:
    x: [B, H, W, C], any float type.
    kernel: [rows, columns, C / groups, features] in the same type.
    window: strides, padding, dilation and groups.

  Returns:
    [B, *window.size(x.shape, kernel.shape), features].
  """
  cpu = lowering(x.shape, kernel.shape, window)
  return _compute(FORWARD, x, kernel, window, cpu=cpu)


def _forward(x, kernel, window):
  return conv(x, kernel, window), (x, kernel)


def _gradients(window, saved, dy):
  x, kernel = saved
  # Both gradients read it, and some algorithms read it several times.
  dy = barrier(dy)
  return (
      _input_gradient(dy, kernel, window, x.shape),
      _kernel_gradient(x, dy, window, kernel.shape),
  )


conv.defvjp(_forward, _gradients)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def transpose(
    x: jax.Array, kernel: jax.Array, window: Window, size: tuple[int, int]
) -> jax.Array:
  """Computes a transposed convolution: the gradient of `conv` to its input.

  Args:
    x: [B, h, w, features], of the shape of the output of `conv`.
    kernel: [rows, columns, C / groups, features], as `conv` takes it.
    window: the window of `conv`.
    size: (height, width) of the input of `conv`.

  Returns:
    [B, *size, C].
  """
  channels = kernel.shape[2] * window.groups
  return _input_gradient(x, kernel, window, (len(x), *size, channels))


def _transpose_forward(x, kernel, window, size):
  return transpose(x, kernel, window, size), (x, kernel)


def _transpose_gradients(window, size, saved, dy):
  del size
  x, kernel = saved
  return conv(dy, kernel, window), _kernel_gradient(dy, x, window, kernel.shape)


transpose.defvjp(_transpose_forward, _transpose_gradients)


def _input_gradient(dy, kernel, window, shape):
  """Returns the gradient to an input of shape `shape`, [B, H, W, C]."""
  cpu = lowering(shape, kernel.shape, window)
  return _compute(INPUT_GRADIENT, dy, kernel, window, shape, cpu=cpu)


def _kernel_gradient(x, dy, window, shape):
  """Returns the gradient to a kernel of shape `shape`."""
  cpu = lowering(x.shape, shape, window, fewest=16)
  gpu = gpu_lowering(x.shape, window, shape)
  return _compute(KERNEL_GRADIENT, x, dy, window, shape, cpu=cpu, cuda=gpu)


def _compute(table, a, b, *rest, **names):
  """Runs the algorithm of the platform: `names` by platform, else 'plain'."""
  names = {**names, 'default': 'plain'}
  algorithms = tuple(
      (platform, table[name]) for platform, name in names.items()
  )
  return _by_platform(a, b, rest, algorithms)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _by_platform(a, b, rest, algorithms):
  """Runs one algorithm by platform.

  It is a jitted function of its own, so that JAX traces and lowers equal
  convolutions of a model once.
  """
  branches = {
      platform: lambda a, b, compute=compute: compute(a, b, *rest)
      for platform, compute in algorithms
  }
  return lax.platform_dependent(a, b, **branches)


def gpu_lowering(
    x_shape: tuple[int, ...], window: Window, shape: tuple[int, ...]
) -> str:
  """Returns the algorithm for the gradient to a kernel on an NVIDIA GPU.

  XLA writes the gradient to a dilated kernel as a convolution by a kernel as
  large as the image, for which cuDNN has no fast algorithm; launch/speed.md
  compares the alternatives.

  Args:
    x_shape: shape of the input.
    window: window of the convolution.
    shape: shape of the kernel.

  Returns:
    A key of `KERNEL_GRADIENT`.
  """
  if _is_plain() or window.groups > 1 or window.dilation == (1, 1):
    return 'plain'
  if window.inside(x_shape, shape) < 0.75:
    return 'shifted'
  return 'batched' if window.strides == (1, 1) else 'plain'


def lowering(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    window: Window,
    fewest: int = 32,
) -> str:
  """Returns the algorithm for a convolution on a CPU.

  The rules follow the measurements in launch/speed.md.

  Args:
    shape: shape of the input.
    kernel: shape of the kernel.
    window: window of the convolution.
    fewest: number of channels from which on Winograd's algorithm pays off; 16
      for the gradient to a kernel.

  Returns:
    A key of `FORWARD`.
  """
  if _is_plain():
    return 'plain'
  rows, columns, channels, features = kernel
  disjoint = rows == columns == 1 or (rows, columns) == window.strides
  small_patch = channels <= 4 and rows * columns <= 9
  if window.groups == 1 and (
      small_patch or disjoint and not any(map(any, window.padding))
  ):
    return 'matrix'
  if window.groups > 1 and channels == 1 and features == window.groups:
    return 'depthwise' if rows * columns <= 49 else 'plain'
  if window.groups > 1:
    return 'plain'
  dilated = window.dilation != (1, 1)
  if dilated and window.inside(shape, kernel) < 0.75:
    return 'shifted'
  pixels = shape[0] * math.prod(window.size(shape, kernel))
  # Small convolutions would gain little and would take longer to compile.
  large = 2 * pixels * math.prod(kernel) > 5e8
  if not large or not winograd.fits(kernel, window):
    return 'plain'
  if min(channels, features) >= fewest:
    return 'winograd'
  narrow = min(channels, features) >= 16 and max(channels, features) <= 24
  return 'paired' if narrow and not dilated else 'plain'


_PLAIN_ONLY = False


@contextlib.contextmanager
def plain() -> Iterator[None]:
  """Context in which traced convolutions are XLA's own on every platform."""
  global _PLAIN_ONLY
  previous, _PLAIN_ONLY = _PLAIN_ONLY, True
  try:
    yield
  finally:
    _PLAIN_ONLY = previous


def _is_plain():
  """Tells whether convolutions are XLA's own on every platform.

  They are within `plain`, and where a mesh splits images by rows: XLA's
  partitioner exchanges just the border rows for its own convolutions, and would
  gather whole images for other operations.
  """
  return _PLAIN_ONLY or parallel.rows() > 1


FORWARD = dict(
    plain=lowerings.plain,
    matrix=lowerings.matrix,
    shifted=lowerings.shifted,
    depthwise=lowerings.depthwise,
    paired=lowerings.paired,
    winograd=winograd.forward,
)
INPUT_GRADIENT = {
    **{
        name: lowerings.transposed(compute) for name, compute in FORWARD.items()
    },
    'paired': lowerings.paired_gradient,
    'winograd': winograd.input_gradient,
}
KERNEL_GRADIENT = dict(
    plain=lowerings.plain_gradient,
    matrix=lowerings.matrix_gradient,
    shifted=lowerings.shifted_gradient,
    depthwise=lowerings.depthwise_gradient,
    winograd=winograd.kernel_gradient,
    batched=lowerings.batched_gradient,
)
