"""Non-negative matrix factorisation."""

import jax
import jax.numpy as jnp


def factorize(
    x: jax.Array, bases: jax.Array, *, steps: int, epsilon: float = 1e-6
) -> jax.Array:
  """Approximates features by non-negative sums of few bases.

  Multiplicative updates change coefficients and bases in turn, and the
  coefficients once more at the end. Gradients pass through all of them.

  Args:
    x: [B, N, C], N features of an image, not negative.
    bases: [B, C, R] to begin with, or [1, C, R] for all images; not negative.
    steps: number of updates of the bases.
    epsilon: added to denominators.

  Returns:
    [B, N, C], the approximation, in the type of `x`.

  References:
    Geng et al., Is Attention Better Than Matrix Decomposition?, 2021,
    https://arxiv.org/abs/2109.04553; Lee and Seung 2001.
  """
  features = x.astype(jnp.float32)
  bases = jnp.broadcast_to(
      bases.astype(jnp.float32), (len(x), *bases.shape[1:])
  )

  def update_coefficients(bases, coefficients):
    above = features @ bases
    below = coefficients @ (bases.swapaxes(1, 2) @ bases)
    return coefficients * above / (below + epsilon)

  def step(state, _):
    bases, coefficients = state
    coefficients = update_coefficients(bases, coefficients)
    transposed = coefficients.swapaxes(1, 2)
    above = features.swapaxes(1, 2) @ coefficients
    below = bases @ (transposed @ coefficients)
    return (bases * above / (below + epsilon), coefficients), None

  coefficients = jax.nn.softmax(features @ bases)
  (bases, coefficients), _ = jax.lax.scan(
      step, (bases, coefficients), None, length=steps
  )
  coefficients = update_coefficients(bases, coefficients)
  return (coefficients @ bases.swapaxes(1, 2)).astype(x.dtype)


def random_bases(
    key: jax.Array, batch: int, channels: int, rank: int
) -> jax.Array:
  """Draws bases of length 1 to begin a factorisation with, [B, C, R]."""
  bases = jax.random.uniform(key, (batch, channels, rank))
  return bases / jnp.linalg.norm(bases, axis=1, keepdims=True)
