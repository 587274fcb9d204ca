"""Batch normalisation, https://arxiv.org/abs/1502.03167.

The computations are jitted functions of their own, so that JAX traces and
lowers equal layers of a model once.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp

from segjax import parallel
from segjax.kernels.barrier import barrier
from segjax.kernels.lowerings import accurate

# Up to so many values of a channel, its variance is computed from differences
# to the mean. Those of pooled features may be close to each other, and then the
# difference of the mean square and the squared mean is little but rounding; of
# larger maps a second pass, and a second mean over devices, would take longer.
FEW = 256


@functools.partial(jax.jit, static_argnames='epsilon')
def normalize(
    x: jax.Array,
    mean: jax.Array,
    variance: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    *,
    epsilon: float,
) -> jax.Array:
  """Normalises by a given mean and variance.

  Args:
    x: [..., C], any float type; the arithmetic is float32.
    mean: [C].
    variance: [C].
    scale: [C], factor of the normalised values.
    bias: [C], added to the scaled values.
    epsilon: added to the variance.

  Returns:
    [..., C], in the widest type of `x`, `scale` and `bias`.
  """
  y = (accurate(x) - mean) * (lax.rsqrt(variance + epsilon) * scale) + bias
  return y.astype(jnp.result_type(x, scale, bias))


@jax.jit
def statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the mean and the biased variance of each channel, float32 [C].

  Under pmap these are of the device's own part of the batch; `normalize_batch`
  uses those of the global batch.

  Args:
    x: [..., C], any float type.
  """
  y = accurate(x)
  return _variance(_mean(y), _mean(y * y))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize_batch(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Normalises by the statistics of the global batch.

  For the gradient only `x` is kept, no further array of its size.

  Args:
    x: [..., C], any float type; the arithmetic is float32.
    scale: [C], factor of the normalised values.
    bias: [C], added to the scaled values.
    epsilon: added to the variance.

  Returns:
    The result [..., C] in the widest type of `x`, `scale` and `bias`; and the
    mean and the biased variance, float32 [C], which pass no gradient.
  """
  return _normalized(x, scale, bias, epsilon)


def _forward(x, scale, bias, epsilon):
  y, mean, variance = _normalized(x, scale, bias, epsilon)
  return (y, mean, variance), (x, scale, bias, mean, variance)


def _gradients(epsilon, saved, cotangents):
  return _gradients_to(*saved, cotangents[0], epsilon)


normalize_batch.defvjp(_forward, _gradients)


@functools.partial(jax.jit, static_argnums=3)
def _normalized(x, scale, bias, epsilon):
  y = accurate(x)
  if x.size // x.shape[-1] <= FEW:
    mean = parallel.pmean(_mean(y))
    variance = parallel.pmean(_mean(jnp.square(y - mean)))
  else:
    mean, variance = _variance(
        *parallel.pmean(jnp.stack([_mean(y), _mean(y * y)]))
    )
  y = normalize(x, mean, variance, scale, bias, epsilon=epsilon)
  return y, mean, variance


@functools.partial(jax.jit, static_argnums=6)
def _gradients_to(x, scale, bias, mean, variance, dy, epsilon):
  # Without the barrier XLA for CPUs would keep intermediate arrays that both
  # passes compute from `x`.
  y, dy = accurate(barrier(x)), accurate(dy)
  inverse = lax.rsqrt(variance + epsilon)
  dbias, product = _mean(dy), _mean(dy * y)
  dscale = (product - mean * dbias) * inverse
  # The statistics depend on x, so dx is dy less its mean and less its
  # correlation with the normalised x.
  mean_dy, correlation = parallel.pmean(jnp.stack([dbias, dscale]))
  dx = (dy - mean_dy) - (y - mean) * (inverse * correlation)
  pixels = x.size // x.shape[-1]
  return (
      (dx * (inverse * scale)).astype(x.dtype),
      (pixels * dscale).astype(scale.dtype),
      (pixels * dbias).astype(bias.dtype),
  )


def _variance(mean, square):
  """Returns (mean, variance) from a mean and a mean of squares."""
  # By rounding the difference may be negative.
  return mean, jnp.maximum(square - mean * mean, 0)


def _mean(x):
  return x.mean(range(x.ndim - 1))
