"""Local response normalisation."""

import jax
import jax.numpy as jnp


def local_response_norm(
    x: jax.Array, size: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> jax.Array:
  """Divides by a power of the mean square over neighbouring channels.

  Args:
    x: [..., C], any float type; the arithmetic is float32.
    size: number of channels of a neighbourhood, odd. Channels beyond the first
      and the last count as 0.
    alpha: factor of the mean square.
    beta: the power.

  Returns:
    x / (1 + alpha * mean square) ** beta, in the type of `x`.

  References:
    Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural
    Networks, 2012, section 3.3, where alpha multiplies a sum. Here it
    multiplies a mean, as in Caffe and in PyTorch's `local_response_norm`.
  """
  y = x.astype(jnp.float32)
  sums = jax.lax.reduce_window(
      y * y,
      0.0,
      jax.lax.add,
      (1,) * (x.ndim - 1) + (size,),
      (1,) * x.ndim,
      [(0, 0)] * (x.ndim - 1) + [(size // 2, size // 2)],
  )
  return (y * (1 + alpha / size * sums) ** -beta).astype(x.dtype)
