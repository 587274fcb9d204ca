"""Trained upsampling: by transposed convolutions, and by what replaces them.

A transposed convolution whose kernel is no multiple of its stride covers the
pixels of the result unevenly, and paints a checkerboard; one that is may learn
to. Odena et al., Deconvolution and Checkerboard Artifacts, 2016,
https://doi.org/10.23915/distill.00003, enlarge by repeating or interpolating
pixels instead, and convolve then. `segjax.tools.checkerboard` draws both.
"""

from collections.abc import Callable

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers.conv import Conv
from segjax.layers.conv import ConvTranspose
from segjax.layers.conv import he_normal
from segjax.layers.norm import BatchNorm
from segjax.ops import conv
from segjax.ops.pixel_shuffle import pixel_shuffle
from segjax.ops.resize import resize

MODES = ('transposed', 'nearest', 'bilinear', 'subpixel')


def upsample(
    mode: str,
    features: int,
    kernel: int = 2,
    *,
    stride: int = 2,
    padding: int | tuple[int, int] = 0,
    output_padding: int = 0,
    bias: bool = False,
    kernel_init: Callable = he_normal,
    name: str,
) -> nn.Module:
  """Returns a layer that multiplies the size of its input by `stride`.

  A kernel that is larger than its stride and not padded makes rows and columns
  more than that; the other modes repeat their last ones instead.

  Args:
    mode: 'transposed', a transposed convolution; 'nearest' or 'bilinear', which
      enlarge and then convolve; or 'subpixel', which convolves to the channels
      of all pixels of the result.
    features: number of output channels.
    kernel: side of the kernel. The other modes have odd ones, 3 for 2 and 5 for
      4, and 'subpixel' has 3.
    stride: the factor.
    padding: of a transposed convolution; see `ConvTranspose`.
    output_padding: the same.
    bias: whether a bias is added.
    kernel_init: initialiser of the kernel.
    name: name of the layer's parameters in its parent.

  Raises:
    ValueError: there is no such mode, or the result of the transposed
      convolution is smaller than the input times the stride.
  """
  check_mode(mode)
  cut = sum(padding) if isinstance(padding, tuple) else 2 * padding
  extra = kernel - cut + output_padding - stride
  if extra < 0:
    raise ValueError(
        f'kernel={kernel}, padding={padding}, output_padding={output_padding}:'
        f' the result is not {stride} times as large.'
    )
  if mode == 'subpixel':
    return SubpixelConv(
        features,
        factor=stride,
        extra=extra,
        bias=bias,
        kernel_init=kernel_init,
        name=name,
    )
  if mode != 'transposed':
    return EnlargedConv(
        features,
        kernel=kernel + 1 - kernel % 2,
        factor=stride,
        method=mode,
        extra=extra,
        bias=bias,
        kernel_init=kernel_init,
        name=name,
    )
  return ConvTranspose(
      features,
      kernel=kernel,
      stride=stride,
      padding=padding,
      output_padding=output_padding,
      bias=bias,
      kernel_init=kernel_init,
      name=name,
  )


def check_mode(mode: str) -> None:
  """Raises a ValueError if a way of upsampling is none of `MODES`."""
  if mode not in MODES:
    raise ValueError(f'upsampling={mode!r} is not one of {", ".join(MODES)}.')


class UpsampleNormAct(nn.Module):
  """Applies a layer of `upsample`, a norm and an activation."""

  mode: str
  features: int
  kernel: int = 2
  padding: int | tuple[int, int] = 0
  output_padding: int = 0
  bias: bool = False
  norm: Callable[..., nn.Module] = BatchNorm
  act: Callable | None = nn.relu
  init: Callable = he_normal

  @nn.compact
  def __call__(self, x, train):
    x = upsample(
        self.mode,
        self.features,
        self.kernel,
        padding=self.padding,
        output_padding=self.output_padding,
        bias=self.bias,
        kernel_init=self.init,
        name='conv',
    )(x)
    x = self.norm(train, name='norm')(x)
    return self.act(x) if self.act else x


class EnlargedConv(nn.Module):
  """Enlarges by a method of `ops.resize`, and applies a convolution.

  Pixels are mirrored beyond the border, where zeros would leave a rim.
  """

  features: int
  kernel: int = 3  # Odd.
  factor: int = 2
  method: str = 'nearest'
  extra: int = 0  # Rows and columns more, which repeat the last ones.
  bias: bool = False
  kernel_init: Callable = he_normal

  @nn.compact
  def __call__(self, x):
    x = resize(
        x,
        tuple(self.factor * side for side in x.shape[1:3]),
        method=self.method,
    )
    x = _repeat_last(x, self.extra)
    border = (self.kernel // 2,) * 2
    x = jnp.pad(x, ((0, 0), border, border, (0, 0)), mode='symmetric')
    return Conv(
        self.features,
        (self.kernel, self.kernel),
        padding='VALID',
        use_bias=self.bias,
        kernel_init=self.kernel_init,
        name='conv',
    )(x)


class SubpixelConv(nn.Module):
  """Convolves to the channels of all pixels that a pixel becomes.

  It begins with the same kernel for each of them, so that it repeats pixels at
  first (ICNR: Aitken et al., 2017, https://arxiv.org/abs/1707.02937).
  """

  features: int
  factor: int = 2
  extra: int = 0  # Rows and columns more, which repeat the last ones.
  bias: bool = False
  kernel_init: Callable = he_normal

  @nn.compact
  def __call__(self, x):
    count = self.factor**2

    def init(key, shape, dtype=jnp.float32):
      first = self.kernel_init(key, (*shape[:-1], self.features), dtype)
      return jnp.repeat(first, count, axis=-1)

    x = Conv(
        self.features * count,
        (3, 3),
        padding=((1, 1), (1, 1)),
        use_bias=self.bias,
        kernel_init=init,
        name='conv',
    )(x)
    return _repeat_last(pixel_shuffle(x, self.factor), self.extra)


def _repeat_last(x, extra):
  """Repeats the last row and column of [B, H, W, C] `extra` times."""
  return jnp.pad(x, ((0, 0), (0, extra), (0, extra), (0, 0)), mode='edge')


def upsample_scores(
    mode: str,
    factor: int,
    *,
    padding: int = 0,
    mix: bool = True,
    bias: bool = False,
    name: str,
) -> nn.Module:
  """Returns a layer that enlarges scores and starts as interpolation.

  The arguments behind the mode are those of `BilinearUpsample`, which is the
  mode 'transposed'. The other modes of `upsample` double the size as often as
  it takes, whether the factor is trained or frozen.
  """
  check_mode(mode)
  if mode == 'transposed':
    return BilinearUpsample(factor, padding, mix, bias, name=name)
  return EnlargedScores(mode, factor, padding, bias, name=name)


class EnlargedScores(nn.Module):
  """Doubles scores by `upsample`, by kernels that keep them at first."""

  mode: str
  factor: int  # A power of 2.
  padding: int = 0  # See `BilinearUpsample`, whose result is as large.
  bias: bool = False

  @nn.compact
  def __call__(self, x):
    steps = self.factor.bit_length() - 1
    if self.factor != 1 << steps:
      raise ValueError(
          f'upsampling={self.mode!r} enlarges by powers of 2, and not by'
          f" {self.factor}: take 'transposed'."
      )
    sides = [(n + 1) * self.factor - 2 * self.padding for n in x.shape[1:3]]
    # A transposed convolution reaches half a pixel beyond the border.
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode='edge')
    for i in range(steps):
      x = upsample(
          self.mode,
          x.shape[-1],
          bias=self.bias,
          kernel_init=keep,
          name=f'step{i}',
      )(x)
    first = self.factor // 2 + self.padding
    rows, columns = (slice(first, first + side) for side in sides)
    return x[:, rows, columns]


class BilinearUpsample(nn.Module):
  """Enlarges by a transposed convolution that starts as bilinear.

  FCN, https://arxiv.org/abs/1411.4038, section 3.3. The kernel has 2 * factor
  rows and columns. A side of n pixels becomes (n + 1) * factor - 2 * padding
  pixels; with padding = factor / 2 that is n * factor, and the borders of the
  image stay where they are.
  """

  factor: int
  padding: int = 0  # Pixels cut off on each side of the output.
  mix: bool = True  # One kernel over all channels; else each has its own.
  bias: bool = False

  @nn.compact
  def __call__(self, x):
    channels, size = x.shape[-1], 2 * self.factor
    shape = (size, size, channels if self.mix else 1, channels)
    kernel = self.param('kernel', bilinear, shape).astype(x.dtype)
    sides = tuple(
        (n + 1) * self.factor - 2 * self.padding for n in x.shape[1:3]
    )
    if self.mix:
      window = conv.Window(
          strides=(self.factor, self.factor),
          padding=((self.padding, self.padding),) * 2,
      )
      y = conv.transpose(x, kernel, window, sides)
    else:
      first = self.padding
      rows, columns = (slice(first, first + side) for side in sides)
      y = stamp(x, kernel[:, :, 0])[:, rows, columns]
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (channels,))
      y += bias.astype(y.dtype)
    return y


def stamp(x, kernel):
  """Applies a transposed convolution within each channel.

  Each pixel adds its kernel to 2x2 cells of the result, so a cell is the sum of
  four products. XLA's grouped transposed convolution is a few hundred times
  slower on CPUs.

  Args:
    x: [B, h, w, C].
    kernel: [2 * n, 2 * n, C]; the stride is n.

  Returns:
    [B, (h + 1) * n, (w + 1) * n, C] in the type of `x`.
  """
  batch, height, width, channels = x.shape
  n = len(kernel) // 2
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(jnp.float32)
  cells = kernel.reshape(2, n, 2, n, channels).astype(jnp.float32)
  y = 0.0
  for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
    rows, columns = slice(1 - i, height + 2 - i), slice(1 - j, width + 2 - j)
    pixels = padded[:, rows, None, columns, None]
    y += pixels * cells[i, :, None, j]
  y = y.reshape(batch, (height + 1) * n, (width + 1) * n, channels)
  return y.astype(x.dtype)


def bilinear(key, shape, dtype=jnp.float32):
  """Initialises a kernel [h, w, C or 1, C] to interpolate within channels."""
  del key
  rows, columns, inputs, channels = shape
  channel_map = jnp.eye(channels) if inputs > 1 else jnp.ones((1, channels))
  kernel = jnp.einsum('h,w,oi->hwoi', tent(rows), tent(columns), channel_map)
  return kernel.astype(dtype)


def keep(key, shape, dtype=jnp.float32):
  """Initialises a kernel [h, w, C, C], h and w odd, to return its input."""
  del key
  rows, columns, inputs, channels = shape
  kernel = jnp.zeros(shape, dtype)
  return kernel.at[rows // 2, columns // 2].set(jnp.eye(inputs, channels))


def tent(size):
  """Returns the weights of linear interpolation around a pixel, [size]."""
  return 1 - jnp.abs(jnp.arange(size) - (size - 1) / 2) * 2 / size
