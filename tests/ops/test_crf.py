import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import crf

RNG = np.random.default_rng(0)


def matrix_kernel(matrix):
  return lambda x: (matrix @ x.reshape(len(matrix), -1)).reshape(x.shape)


@pytest.mark.parametrize('how', crf.NORMALIZATIONS)
def test_normalisations_are_those_of_their_formulas(how):
  k = RNG.random((12, 12), np.float32)
  k += k.T
  valid = np.ones((3, 4, 1), np.float32)
  valid[2, 1:] = 0
  x = RNG.random((3, 4, 2), np.float32)
  seen = k * valid.ravel()
  d = seen.sum(1)
  expected = {
      'symmetric': seen / np.sqrt(np.outer(d, d)),
      'before': seen / d,
      'after': seen / d[:, None],
      'none': seen,
  }[how]
  np.testing.assert_allclose(
      crf.normalized(matrix_kernel(k), how, valid)(x),
      matrix_kernel(expected)(x),
      rtol=1e-5,
  )


def test_an_unknown_normalisation_is_refused():
  with pytest.raises(ValueError, match="normalization='both' is not one of"):
    crf.normalized(lambda x: x, 'both', np.ones((1, 1, 1)))


def test_costs_of_labels_give_the_same_field_in_all_forms():
  unary = RNG.normal(size=(3, 4, 5)).astype(np.float32)
  kernel = matrix_kernel(RNG.random((12, 12), np.float32) / 12)

  def field(compat):
    message = crf.message([(compat, kernel)])
    return jax.nn.softmax(crf.mean_field(unary, message, 3))

  potts = field(2.0)
  assert np.abs(potts - jax.nn.softmax(unary)).max() > 0.01
  # A row sum that is not 1 adds a constant to all labels of a pixel.
  np.testing.assert_allclose(field(2 * (1 - np.eye(5))), potts, atol=1e-5)
  np.testing.assert_allclose(field(np.full(5, -2.0)), potts, atol=1e-5)
  skewed = np.triu(4 * (1 - np.eye(5)))
  np.testing.assert_allclose(field(skewed), potts, atol=1e-5)


def test_few_pixels_are_exact_and_many_near_it():
  rows = RNG.normal(size=(66, 1, 3)) + RNG.normal(size=(1, 70, 3))
  image = (255 * jax.nn.sigmoid(np.float32(rows))).astype(np.uint8)
  feats = crf.bilateral_features(image, 20.0, 60.0)
  x = RNG.random((66, 70, 2), np.float32)
  errors = []
  for part in (np.s_[:60, :60], np.s_[:, :]):
    f, y = feats[part], jnp.asarray(x[part])
    valid = jnp.ones((*y.shape[:2], 1))
    exact, ours = (
        crf.normalized(kernel, 'after', valid)(y)
        for kernel in (crf.gaussian.all_pairs(f), crf.bilateral(f))
    )
    errors.append(np.abs(ours - exact).mean() / np.std(exact))
  assert errors[0] == 0
  assert 0 < errors[1] < 0.2
