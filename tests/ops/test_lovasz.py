import jax
import numpy as np
import pytest

from segjax.ops.lovasz import lovasz_extension


def reference_weights(errors, target, valid):
  """What each pixel, [P], adds to the loss when worse ones are wrong."""
  order = np.argsort(-errors)
  order = order[valid[order]]
  true = target[order] == 1
  intersection = true.sum() - np.cumsum(true)
  union = true.sum() + np.cumsum(~true)
  weights = np.zeros(errors.size)
  weights[order] = np.diff(1 - intersection / union, prepend=0)
  return weights


def make(shape, seed=0):
  rng = np.random.default_rng(seed)
  size = np.prod(shape)  # No two errors are equal, so there is one order.
  errors = (rng.permutation(size).reshape(shape) / size).astype(np.float32)
  target = (rng.random(shape) < 0.3).astype(np.float32)
  valid = rng.random((*shape[:-1], 1)) < 0.7
  return errors, target * valid, valid


@pytest.mark.parametrize('per_image', [False, True])
def test_extension_equals_its_definition(per_image):
  errors, target, valid = make((3, 4, 5, 2))
  losses = lovasz_extension(errors, target, valid, per_image)
  regions = [[0], [1], [2]] if per_image else [[0, 1, 2]]
  expected = [
      [
          errors[images, ..., k].ravel()
          @ reference_weights(
              errors[images, ..., k].ravel(),
              target[images, ..., k].ravel(),
              valid[images].ravel(),
          )
          for k in range(2)
      ]
      for images in regions
  ]
  np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_small_weights_of_many_pixels_keep_their_precision():
  errors, target, valid = make((1, 256, 256, 1))
  weights = jax.jit(
      jax.grad(
          lambda x: lovasz_extension(x, target, valid, per_image=True)[0, 0]
      )
  )(errors)
  expected = reference_weights(errors.ravel(), target.ravel(), valid.ravel())
  np.testing.assert_allclose(weights.ravel(), expected, rtol=1e-5)


def test_a_class_without_pixels_has_the_loss_of_the_largest_error():
  errors, target, valid = make((1, 4, 5, 1))
  loss = lovasz_extension(errors, 0 * target, valid, per_image=True)
  assert loss[0, 0] == errors[valid].max()


def test_nothing_valid_has_no_loss():
  errors, target, valid = make((2, 4, 5, 3))
  loss = lovasz_extension(errors, 0 * target, 0 * valid, per_image=True)
  np.testing.assert_array_equal(loss, 0)


def test_an_error_that_is_no_number_shows_in_the_loss():
  errors, target, _ = make((1, 4, 5, 1))
  errors[0, 1, 2] = np.nan
  valid = np.ones((1, 4, 5, 1), bool)
  assert np.isnan(lovasz_extension(errors, target, valid, per_image=True)[0, 0])
