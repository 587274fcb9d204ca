"""Deformable convolution layers, with or without modulation."""

from collections.abc import Callable
import functools
from typing import Any

from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from segjax.kernels.window import Window
from segjax.layers.conv import conv
from segjax.layers.conv import he_normal
from segjax.ops.deform_conv import deform_conv


class DeformConv(nn.Module):
  """Applies a convolution whose taps are moved by offsets that it predicts.

  A second convolution of the same input predicts them; its weights start at 0,
  so that the layer starts as a plain convolution. It has the kernel size and
  the stride of the first one and does not dilate, as in the authors' DeepLab.

  If `modulated`, it predicts a factor for each tap as well, a sigmoid, as in
  version 2, https://arxiv.org/abs/1811.11168. The factors start at 1/2.
  """

  features: int
  kernel: tuple[int, int]
  stride: int = 1
  dilation: int = 1
  groups: int = 1
  padding: tuple[int, int] = (0, 0)  # Zeros on each side, of rows and columns.
  bias: bool = False
  modulated: bool = False
  deform_groups: int = 1  # Groups of channels with offsets of their own.
  kernel_init: Callable[..., Any] = he_normal

  @nn.compact
  def __call__(self, x):
    taps = self.kernel[0] * self.kernel[1] * self.deform_groups
    moved = conv(
        taps * (3 if self.modulated else 2),
        self.kernel,
        stride=self.stride,
        bias=True,
        init=nn.initializers.zeros,
        name='offset',
    )(x)
    offset, mask = moved[..., : 2 * taps], None
    if self.modulated:
      mask = nn.sigmoid(moved[..., 2 * taps :])
    shape = *self.kernel, x.shape[-1] // self.groups, self.features
    kernel = self.param('kernel', self.kernel_init, shape)
    x, kernel = promote_dtype(x, kernel)
    window = Window(
        strides=(self.stride,) * 2,
        padding=tuple((n, n) for n in self.padding),
        dilation=(self.dilation,) * 2,
        groups=self.groups,
    )
    y = deform_conv(x, offset, kernel, window, mask=mask)
    if self.bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y += bias.astype(y.dtype)
    return y


def deformable(
    features: int,
    kernel: int | tuple[int, int] = 3,
    *,
    dilation: int = 1,
    padding: int | None = None,
    init: Callable[..., Any] = he_normal,
    name: str,
    **others: Any,
) -> nn.Module:
  """Returns a `DeformConv` by the arguments of `layers.conv.conv`.

  Args:
    features: number of output channels.
    kernel: (rows, columns) of the kernel, or the side of a square one.
    dilation: step between kernel weights, in input pixels.
    padding: zeros on each side; None keeps the size at stride 1.
    init: initialiser of the kernel.
    name: name of the layer's parameters in its parent.
    **others: further fields of `DeformConv`.
  """
  sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
  if padding is None:
    pads = tuple(dilation * (side - 1) // 2 for side in sides)
  else:
    pads = padding, padding
  return DeformConv(
      features,
      sides,
      dilation=dilation,
      padding=pads,
      kernel_init=init,
      name=name,
      **others,
  )


# The same with modulation.
modulated = functools.partial(deformable, modulated=True)
