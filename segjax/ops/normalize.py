"""Batch normalisation, https://arxiv.org/abs/1502.03167.

What computes is compiled as functions of their own, so that the norms of a
model that are alike are traced and lowered once.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp

from segjax import parallel
from segjax.kernels.barrier import barrier
from segjax.kernels.lowerings import accurate


@functools.partial(jax.jit, static_argnames='epsilon')
def normalize(x, mean, variance, scale, bias, *, epsilon):
  """Normalises by statistics that are given.

  Args:
    x: [..., C], any float type; the arithmetic is float32.
    mean: [C].
    variance: [C].
    scale: [C], of what is normalised.
    bias: [C], added to it.
    epsilon: added to the variance.

  Returns:
    [..., C], in the widest type of `x`, `scale` and `bias`.
  """
  y = (accurate(x) - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias
  return y.astype(jnp.result_type(x, scale, bias))


@jax.jit
def statistics(x):
  """Returns the mean and the biased variance of each channel, float32 [C].

  Those of `x` alone, where devices are mapped; `normalize_batch` has those of
  the global batch.

  Args:
    x: [..., C], any float type.
  """
  y = accurate(x)
  return _variance(_mean(y), _mean(y * y))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize_batch(x, scale, bias, epsilon):
  """Normalises by the statistics of the global batch.

  The gradient needs `x` and no other image.

  Args:
    x: [..., C], any float type; the arithmetic is float32.
    scale: [C], of what is normalised.
    bias: [C], added to it.
    epsilon: added to the variance.

  Returns:
    [..., C], in the widest type of `x`, `scale` and `bias`, and the mean and
    the biased variance, float32 [C], which have no gradient.
  """
  return _normalized(x, scale, bias, epsilon)


def _saved(x, scale, bias, epsilon):
  y, mean, variance = _normalized(x, scale, bias, epsilon)
  return (y, mean, variance), (x, scale, bias, mean, variance)


def _gradients(epsilon, saved, cotangents):
  return _gradients_to(*saved, cotangents[0], epsilon)


normalize_batch.defvjp(_saved, _gradients)


@functools.partial(jax.jit, static_argnums=3)
def _normalized(x, scale, bias, epsilon):
  y = accurate(x)
  mean, variance = _variance(
      *parallel.pmean(jnp.stack([_mean(y), _mean(y * y)]))
  )
  y = normalize(x, mean, variance, scale, bias, epsilon=epsilon)
  return y, mean, variance


@functools.partial(jax.jit, static_argnums=6)
def _gradients_to(x, scale, bias, mean, variance, dy, epsilon):
  # Else XLA for CPUs would keep what both passes compute of it.
  y, dy = accurate(barrier(x)), accurate(dy)
  inverse = lax.rsqrt(variance + epsilon)
  dbias, product = _mean(dy), _mean(dy * y)
  dscale = (product - mean * dbias) * inverse
  # The mean of dx is 0, and that of dx times what is normalised.
  mean_dy, correlation = parallel.pmean(jnp.stack([dbias, dscale]))
  dx = (dy - mean_dy) - (y - mean) * (inverse * correlation)
  pixels = x.size // x.shape[-1]
  return (
      (dx * (inverse * scale)).astype(x.dtype),
      (pixels * dscale).astype(scale.dtype),
      (pixels * dbias).astype(bias.dtype),
  )


def _variance(mean, square):
  """Returns a mean, and the variance that a mean of squares has about it."""
  # Rounding may leave less than nothing.
  return mean, jnp.maximum(square - mean * mean, 0)


def _mean(x):
  return x.mean(range(x.ndim - 1))
