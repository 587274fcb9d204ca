"""What a linear function of some variables leaves unexplained of others."""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def residual_log_det(x: jax.Array, y: jax.Array, ridge: float) -> jax.Array:
  """Returns log det(S_yy - S_yx S_xx^-1 S_xy), of the residuals of y.

  S_xx is x x^T + ridge I, S_yy is y y^T + ridge I, and S_yx is y x^T. Where x
  is smooth these are nearly singular, and their inverse and determinant in
  float32 are noise. So none of them is computed: with sqrt(ridge) I appended to
  them, the rows of x and y are made orthogonal one after another. The
  determinant is the product of the squared lengths of what is left of y.

  Args:
    x: [..., P, N] float32, variables in N places, centred.
    y: [..., Q, N] float32, others in the same places, centred.
    ridge: added to the diagonals; positive.

  Returns:
    [...] in float32.

  References:
    Modified Gram-Schmidt, whose lengths are as exact as those of a QR
    decomposition by reflections: Björck, Solving Linear Least Squares Problems
    by Gram-Schmidt Orthogonalization, 1967.
  """
  return _forward(x, y, ridge)[0]


def _forward(x, y, ridge):
  lower, rows = _orthogonalized(x, y, ridge)
  explaining, places = x.shape[-2:]
  rest = rows[..., explaining:, :]
  squares = jnp.square(rest).sum(-1, keepdims=True)
  saved = (
      lower[..., :explaining, :explaining],
      lower[..., explaining:, :explaining],
      lower[..., explaining:, explaining:],
      (rest / squares)[..., :places],
  )
  return jnp.log(squares).sum((-2, -1)), saved


def _gradient(ridge, saved, d):
  """Differentiates the log determinant: that of both minus that of x.

  With both = L Q, its gradient for them is 2 (L D L^T)^-1 L Q = 2 L^-T D^-1 Q,
  where D are the squared lengths of the rows of Q. The part of x that x alone
  has, too, cancels.
  """
  del ridge
  of_xx, of_yx, of_yy, rest = saved
  of_y = _inverse(of_yy)
  of_x = jnp.matmul(of_y, of_yx, precision='highest')
  of_x = jnp.matmul(of_x, _inverse(of_xx), precision='highest')
  return tuple(
      2
      * d[..., None, None]
      * jnp.einsum('...ji,...jn->...in', matrix, rest, precision='highest')
      for matrix in (-of_x, of_y)
  )


residual_log_det.defvjp(_forward, _gradient)


def _orthogonalized(x, y, ridge):
  """Decomposes rows: [x, y | sqrt(ridge) I] = L Q.

  Returns:
    L, [..., M, M], lower triangular with ones on its diagonal; and Q, [..., M,
    N + M], whose rows are orthogonal. M is P + Q.
  """
  rows = jnp.concatenate([x, y], -2)
  number = rows.shape[-2]
  unit = jnp.broadcast_to(
      jnp.eye(number, dtype=jnp.float32), (*rows.shape[:-1], number)
  )
  rows = jnp.concatenate([rows, jnp.sqrt(jnp.float32(ridge)) * unit], -1)

  def step(i, lower_and_rows):
    """Takes the direction of row i out of all rows behind it."""
    lower, rows = lower_and_rows
    row = jax.lax.dynamic_index_in_dim(rows, i, -2, keepdims=False)
    shares = jnp.einsum('...mn,...n->...m', rows, row, precision='highest')
    shares /= jnp.square(row).sum(-1, keepdims=True)
    shares = jnp.where(jnp.arange(number) > i, shares, 0)
    column = jnp.arange(number) == i
    return (
        lower + shares[..., :, None] * column,
        rows - shares[..., :, None] * row[..., None, :],
    )

  return jax.lax.fori_loop(0, number, step, (unit, rows))


def _inverse(lower):
  """Inverts lower triangular matrices with ones on the diagonal.

  XLA has no such operation of its own on CPUs, but calls LAPACK.
  """
  number = lower.shape[-1]
  unit = jnp.broadcast_to(jnp.eye(number), lower.shape)

  def step(i, inverse):
    row = jax.lax.dynamic_index_in_dim(lower, i, -2, keepdims=False)
    known = jnp.where(jnp.arange(number) < i, row, 0)
    taken = jnp.einsum('...m,...mn->...n', known, inverse, precision='highest')
    place = (jnp.arange(number) == i)[:, None]
    return inverse - place * taken[..., None, :]

  return jax.lax.fori_loop(0, number, step, unit)
