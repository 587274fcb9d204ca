import jax
import numpy as np

from segjax.ops.residuals import residual_log_det

RIDGE = 5e-4


def reference(x, y):
  """The log determinant by its formula, in float64."""
  x, y = x.astype(np.float64), y.astype(np.float64)
  of_x, of_y = (
      z @ z.swapaxes(-1, -2) + RIDGE * np.eye(z.shape[-2]) for z in (x, y)
  )
  cross = y @ x.swapaxes(-1, -2)
  rest = of_y - cross @ np.linalg.inv(of_x) @ cross.swapaxes(-1, -2)
  return np.linalg.slogdet(rest)[1]


def draw_smooth():
  """Neighbours in smooth maps, nearly the same, and steps near them."""
  t = np.linspace(0, 1, 400)
  shifts = 1e-3 * np.arange(4)
  edges = np.array([0.3, 0.6])[:, None, None]
  x = 1 / (1 + np.exp(-(t + shifts[:, None] - edges) / 0.05))
  y = (t + 3 * shifts[:, None] > edges).astype(float)
  return tuple(np.float32(30 * (z - z.mean(-1, keepdims=True))) for z in (x, y))


value_and_gradient = jax.jit(
    jax.value_and_grad(
        lambda x, y: residual_log_det(x, y, RIDGE).sum(), argnums=(0, 1)
    )
)


def test_smooth_variables_have_the_value_of_float64():
  x, y = draw_smooth()
  covariance = np.float64(x) @ x.swapaxes(-1, -2) + RIDGE * np.eye(4)
  assert np.linalg.cond(covariance).max() > 1e7
  value, _ = value_and_gradient(x, y)
  np.testing.assert_allclose(value, reference(x, y).sum(), rtol=1e-4)


def test_the_gradient_is_that_of_the_formula():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 50)).astype(np.float32)
  y = (x[:, :2] + 0.3 * rng.normal(size=(2, 2, 50))).astype(np.float32)
  value, gradients = value_and_gradient(x, y)
  np.testing.assert_allclose(value, reference(x, y).sum(), rtol=1e-5)
  for place, gradient in enumerate(gradients):
    for index in ((0, 1, 7), (1, 0, 3)):
      values = []
      for step in (1e-4, -1e-4):
        moved = [np.float64(x), np.float64(y)]
        moved[place][index] += step
        values.append(reference(*moved).sum())
      expected = (values[0] - values[1]) / 2e-4
      np.testing.assert_allclose(gradient[index], expected, rtol=1e-3)
