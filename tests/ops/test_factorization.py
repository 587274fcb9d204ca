import jax
import numpy as np

from segjax.ops.factorization import factorize
from segjax.ops.factorization import random_bases


def reference(x, bases, steps):
  """The updates of Lee and Seung for one image, in float64."""
  x, d = np.float64(x), np.float64(bases)
  c = np.exp(x @ d)
  c /= c.sum(1, keepdims=True)
  for _ in range(steps):
    c = c * (x @ d) / (c @ d.T @ d + 1e-6)
    d = d * (x.T @ c) / (d @ c.T @ c + 1e-6)
  c = c * (x @ d) / (c @ d.T @ d + 1e-6)
  return c @ d.T


def make_features():
  rng = np.random.default_rng(0)
  parts = rng.uniform(size=(2, 12, 3)), rng.uniform(size=(2, 3, 5))
  return (parts[0] @ parts[1]).astype(np.float32)


def test_updates_are_those_of_lee_and_seung():
  x = make_features()
  bases = random_bases(jax.random.key(0), 2, 5, 3)
  np.testing.assert_allclose(np.linalg.norm(bases, axis=1), 1, rtol=1e-6)
  y = jax.jit(factorize, static_argnames='steps')(x, bases, steps=6)
  for i in range(2):
    np.testing.assert_allclose(y[i], reference(x[i], bases[i], 6), rtol=1e-4)


def test_more_updates_come_closer():
  x = make_features()
  bases = random_bases(jax.random.key(0), 1, 5, 3)
  first, second = (
      np.abs(factorize(x, bases, steps=steps) - x).max() for steps in (6, 60)
  )
  assert first > second


def test_features_of_zero_have_a_finite_gradient():
  bases = random_bases(jax.random.key(0), 1, 5, 3)
  value, gradient = jax.jit(
      jax.value_and_grad(lambda x: factorize(x, bases, steps=6).sum())
  )(0 * make_features())
  assert value == 0
  assert np.isfinite(gradient).all()
