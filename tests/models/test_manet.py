import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import manet


def test_weights_of_all_pairs_of_positions_add_up_to_one():
  rng = np.random.default_rng(0)
  query, key = rng.normal(size=(2, 2, 2, 3, 4)).astype(np.float32)
  value = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
  y = manet.attend_over_pairs(query, key, value)
  for b in range(2):
    q, k, v = (x[b].reshape(6, -1) for x in (query, key, value))
    weights = np.exp(q @ k.T)
    expected = (weights / weights.sum()) @ v
    np.testing.assert_allclose(y[b].reshape(6, 5), expected, rtol=1e-4)


def test_what_positions_gather_is_read_as_if_channels_came_first():
  x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
  y = manet.reread(x)
  assert y.shape == x.shape
  for image, other in zip(x, np.asarray(y), strict=True):
    np.testing.assert_array_equal(
        other.transpose(2, 0, 1).ravel(), image.ravel()
    )


def test_a_channel_is_shut_only_if_both_means_shut_it():
  stage = manet.FusionAttention(4, reduction=2)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 3, 4, 6)).astype(np.float32)
  skip = rng.normal(size=(1, 5, 7, 4)).astype(np.float32)
  variables = stage.init(jax.random.key(0), x, skip, False)
  params = variables['params']
  params['weights']['excite']['bias'] = np.full(4, -100, np.float32)

  def moved_by(x, other, bias):
    params['skip_weights']['excite']['bias'] = np.full(4, bias, np.float32)
    first, second = (stage.apply(variables, y, skip, False) for y in (x, other))
    return np.abs(first - second).max()

  assert moved_by(x, x + 1, -100) == 0
  assert moved_by(x, x + 1, 0) > 1e-3


def test_features_of_another_number_are_refused():
  model = models.create('manet', 7, features=(8, 8, 8, 8))
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  with pytest.raises(ValueError, match='there are 5 enlargements'):
    jax.eval_shape(model.init, jax.random.key(0), image)
