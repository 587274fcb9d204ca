"""Resize-convolution: nearest-neighbour upsampling followed by a convolution.

https://distill.pub/2016/deconv-checkerboard proposes it in place of transposed
convolutions.
"""

import jax
from jax import lax
import jax.numpy as jnp

from segjax.kernels import winograd
from segjax.kernels.barrier import barrier
from segjax.ops import conv
from segjax.ops.resize import resize

WINDOW = conv.Window(padding=((1, 1), (1, 1)))


def resize_conv(
    x: jax.Array,
    skip: jax.Array | None,
    kernel: jax.Array,
    size: tuple[int, int],
) -> jax.Array:
  """Upsamples an image, concatenates a skip connection and convolves.

  A CPU that upsamples by 2 neither repeats pixels nor concatenates: it adds the
  convolutions of both images, the first by 9 products for 2x2 pixels, see
  `kernels.winograd`. launch/speed.md has what that saves.

  Args:
    x: [B, h, w, C], any float type.
    skip: [B, *size, S] in the same type, or None.
    kernel: [3, 3, C + S, features] in the same type; the channels of `x` come
      first.
    size: (height, width) of the upsampled image.

  Returns:
    [B, *size, features]; the border is padded with zeros.
  """
  doubled = tuple(2 * side for side in x.shape[1:3]) == tuple(size)
  upsampled = (len(x), *size, x.shape[-1])
  shape = (3, 3, x.shape[-1], kernel.shape[-1])
  algorithm = conv.lowering(upsampled, shape, WINDOW, fewest=16)
  if doubled and algorithm == 'winograd':
    return _by_platform(x, skip, kernel)
  return _concatenated(x, skip, kernel, size)


def _concatenated(x, skip, kernel, size):
  """Upsamples, concatenates and convolves, one after the other."""
  x = resize(x, size, method='nearest')
  if skip is not None:
    x = jnp.concatenate([x, skip], -1)
  return conv.conv(x, kernel, WINDOW)


def _separate(x, skip, kernel):
  """Adds the convolutions of both images; `x` is upsampled by 2."""
  channels = x.shape[-1]
  y = _repeated(x, kernel[:, :, :channels])
  if skip is None:
    return y
  return y + conv.conv(skip, kernel[:, :, channels:], WINDOW)


def _concatenated_double(x, skip, kernel):
  size = [2 * side for side in x.shape[1:3]]
  return _concatenated(x, skip, kernel, size)


@jax.custom_vjp
def _by_platform(x, skip, kernel):
  return lax.platform_dependent(
      x, skip, kernel, cpu=_separate, default=_concatenated_double
  )


def _forward(*args):
  return _by_platform(*args), args


def _gradients(args, dy):
  def backward(function):
    return lambda args, dy: jax.vjp(function, *args)[1](dy)

  return lax.platform_dependent(
      args,
      dy,
      cpu=backward(_separate),
      default=backward(_concatenated_double),
  )


_by_platform.defvjp(_forward, _gradients)


@jax.custom_vjp
def _repeated(x, kernel):
  return winograd.repeated(x, kernel)


def _repeated_forward(x, kernel):
  return _repeated(x, kernel), (x, kernel)


def _repeated_gradients(saved, dy):
  x, kernel = saved
  # Both gradients read it several times, so it is computed once before.
  dy = barrier(dy)
  return (
      winograd.repeated_input_gradient(dy, kernel),
      winograd.repeated_kernel_gradient(x, dy, kernel.shape),
  )


_repeated.defvjp(_repeated_forward, _repeated_gradients)
