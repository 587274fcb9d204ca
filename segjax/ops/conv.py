"""One convolution, lowered by platform.

On GPU and TPU it is XLA's own, which calls the vendor's kernels. XLA's for CPUs
is good at 3x3 windows that lie close, and poor at much else, so there a table
chooses by the shape among six ways to compute the same numbers, see
`lowering`. The choice is made when a step is traced, and nobody has to know.

All arrays are [B, H, W, C], kernels [rows, columns, C / groups, features].
"""

import contextlib
import functools
import math

import jax
from jax import lax

from segjax import parallel
from segjax.kernels import lowerings
from segjax.kernels import winograd
from segjax.kernels.barrier import barrier
from segjax.kernels.window import Window


def conv_general_dilated(
    x,
    kernel,
    window_strides,
    padding,
    *,
    lhs_dilation,
    rhs_dilation,
    dimension_numbers,
    feature_group_count,
    precision,
):
  """Convolves as `lax.conv_general_dilated` does; Flax's layers call it.

  Raises:
    ValueError: it was asked for something that no system here needs.
  """
  layout = lax.conv_dimension_numbers(x.shape, kernel.shape, lowerings.LAYOUT)
  given = tuple(lhs_dilation), dimension_numbers, precision
  if given != ((1, 1), layout, None):
    raise ValueError(
        f'Convolutions here are {lowerings.LAYOUT}, with an input that is not'
        f' dilated and the default precision; given are {given}. There is'
        ' lax.conv_general_dilated.'
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
def conv(x, kernel, window):
  """Convolves.

  Args:
    x: [B, H, W, C], any float type.
    kernel: [rows, columns, C / groups, features] in the same type.
    window: a `Window`.

  Returns:
    [B, *window.size(x.shape, kernel.shape), features].
  """
  way = lowering(x.shape, kernel.shape, window)
  return _compute(FORWARD, x, kernel, window, cpu=way)


def _saved(x, kernel, window):
  return conv(x, kernel, window), (x, kernel)


def _gradients(window, saved, dy):
  x, kernel = saved
  dy = barrier(dy)  # Both read it, and some ways several times.
  return (
      _input_gradient(dy, kernel, window, x.shape),
      _kernel_gradient(x, dy, window, kernel.shape),
  )


conv.defvjp(_saved, _gradients)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def transpose(x, kernel, window, size):
  """Convolves transposed: the gradient of a `conv` to its input.

  Args:
    x: [B, h, w, features], what the `conv` would return.
    kernel: [rows, columns, C / groups, features], of the `conv`.
    window: a `Window`, of the `conv`.
    size: (height, width) of what the `conv` would take.

  Returns:
    [B, *size, C].
  """
  channels = kernel.shape[2] * window.groups
  return _input_gradient(x, kernel, window, (len(x), *size, channels))


def _saved_transposed(x, kernel, window, size):
  return transpose(x, kernel, window, size), (x, kernel)


def _gradients_transposed(window, size, saved, dy):
  del size
  x, kernel = saved
  return conv(dy, kernel, window), _kernel_gradient(dy, x, window, kernel.shape)


transpose.defvjp(_saved_transposed, _gradients_transposed)


def _input_gradient(dy, kernel, window, shape):
  """Returns the gradient to an input of a shape, [B, H, W, C]."""
  way = lowering(shape, kernel.shape, window)
  return _compute(INPUT_GRADIENT, dy, kernel, window, shape, cpu=way)


def _kernel_gradient(x, dy, window, shape):
  """Returns the gradient to a kernel of a shape."""
  way = lowering(x.shape, shape, window, fewest=16)
  gpu = gpu_lowering(x.shape, window, shape)
  return _compute(KERNEL_GRADIENT, x, dy, window, shape, cpu=way, cuda=gpu)


def _compute(table, a, b, *rest, **names):
  """Computes by the ways of a table that platforms are given, else plainly."""
  names = {**names, 'default': 'plain'}
  ways = tuple((platform, table[name]) for platform, name in names.items())
  return _by_platform(a, b, rest, ways)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _by_platform(a, b, rest, ways):
  """Is traced and lowered once for all convolutions that are alike."""
  calls = {
      platform: lambda a, b, way=way: way(a, b, *rest) for platform, way in ways
  }
  return lax.platform_dependent(a, b, **calls)


def gpu_lowering(x_shape, window, shape):
  """Returns how an NVIDIA GPU computes the gradient to a kernel.

  XLA makes of that of a dilated kernel a convolution by a kernel as large as
  the image, for which cuDNN has nothing fast. Milliseconds on an H200, 16
  images, 65x65, bfloat16, jaxlib 0.11.2:

  | what                      | XLA  | batched | shifted |
  |---------------------------|------|---------|---------|
  | 3x3, 512 -> 512, rate 4   | 3.00 | 0.65    | 0.93    |
  | 3x3, 2048 -> 256, rate 12 | 4.73 | 1.36    | 1.63    |
  | 3x3, 2048 -> 256, rate 36 | 4.69 | 2.16    | 1.05    |
  """
  if _is_plain() or window.groups > 1 or window.dilation == (1, 1):
    return 'plain'
  if window.inside(x_shape, shape) < 0.75:
    return 'shifted'
  return 'batched' if window.strides == (1, 1) else 'plain'


def lowering(shape, kernel, window, fewest=32):
  """Returns how a CPU convolves an input of a shape by a kernel of a shape.

  `fewest` are the channels from which on Winograd's way pays off: of its
  gradient to the kernel, 16.

  In billions of operations a second, forward / gradient to the input / to the
  kernel, on an AMD EPYC of 2022, float32, jaxlib 0.10.2. On one core, where
  matrix products reach 112:

  | what                                | XLA            | instead         |
  |-------------------------------------|----------------|-----------------|
  | 1x1, 256 -> 1024 at 33x33           | 95 / 89 / 42   | 100 / 109 / 101 |
  | 1x1, 2048 -> 512 at 33x33           | 91 / 92 / 34   | 109 / 107 / 94  |
  | depthwise 3x3, 144 at 129x129       | .7 / .7 / .5   | 24 / 27 / 7.8   |
  | 3x3, 2048 -> 256, rate 12 at 33x33  | 93 / 86 / 60   | 125 / 123 / 153 |
  | 3x3, 2048 -> 256, rate 36 at 33x33  | 32 / 79 / 30   | 968 / 950 / 848 |

  More than products reach is work that reads padding alone, and is not done. On
  two cores, where they reach 214, with Winograd's way from the second row on:

  | what                                 | XLA             | instead         |
  |--------------------------------------|-----------------|-----------------|
  | 3x3, 3 -> 32, 2 apart at 2 x 513x513 | 20 / - / 35     | 58 / - / 42     |
  | 3x3, 256 -> 512 at 2 x 64x64         | 201 / 202 / 84  | 373 / 375 / 353 |
  | 3x3, 2048 -> 512 at 2 x 33x33        | 193 / 178 / 160 | 382 / 378 / 304 |
  | 3x3, 512 -> 512, rate 4 at 33x33     | 193 / 163 / 167 | 268 / 255 / 224 |
  | 3x3, 512 -> 512 at 2 x 17x17         | 165 / 135 / 179 | 296 / 264 / 215 |
  | 3x3, 64 -> 64 at 2 x 128x128         | 191 / 191 / 91  | 173 / 225 / 136 |
  | 3x3, 128 -> 32 at 2 x 128x128        | 155 / 98 / 83   | 156 / 146 / 97  |
  | 3x3, 16 -> 16 at 2 x 256x256         | 96 / 92 / 33    | 68 / 80 / 45    |
  | 3x3, 128 -> 128 at 33x33             | 176 / 184 / 179 | 167 / 165 / 142 |

  Of the row before the last, only the gradient to the kernel goes that way; the
  last is left to XLA. Few channels are paired: 16 -> 21 at 2 x 256x256 takes
  8.4 ms so and 13.3 in XLA, its gradient to the input 8.6 and 22.9.
  """
  if _is_plain():
    return 'plain'
  rows, columns, channels, features = kernel
  apart = rows == columns == 1 or (rows, columns) == window.strides
  few = channels <= 4 and rows * columns <= 9
  if window.groups == 1 and (
      few or apart and not any(map(any, window.padding))
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
  # Small ones would gain little, and would take long to compile.
  large = 2 * pixels * math.prod(kernel) > 5e8
  if not large or not winograd.fits(kernel, window):
    return 'plain'
  if min(channels, features) >= fewest:
    return 'winograd'
  # From 16 on, the gradient to the kernel goes Winograd's way.
  narrow = min(channels, features) >= 16 and max(channels, features) <= 24
  return 'paired' if narrow and not dilated else 'plain'


_PLAIN_ONLY = False


@contextlib.contextmanager
def plain():
  """Within it, what is traced convolves by XLA's own on CPUs, too."""
  global _PLAIN_ONLY
  before, _PLAIN_ONLY = _PLAIN_ONLY, True
  try:
    yield
  finally:
    _PLAIN_ONLY = before


def _is_plain():
  """Tells whether convolutions are to be XLA's own, whatever the platform.

  So they are where a mesh splits images by rows: of these, XLA's partitioner
  exchanges the rows that a device lacks, and else it gathers whole images.
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
    **{name: lowerings.transposed(way) for name, way in FORWARD.items()},
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
