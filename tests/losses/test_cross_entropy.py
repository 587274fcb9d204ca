import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax.losses.cross_entropy import cross_entropy

CLASSES = 4
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0], np.float32)


def reference(logits, labels, weights, smoothing):
  """The mean, pixel by pixel."""
  total, count = 0.0, 0.0
  for z, label in zip(logits.reshape(-1, CLASSES), labels.ravel(), strict=True):
    if label == 255:
      continue
    log_probs = z - np.log(np.exp(np.float64(z)).sum())
    target = np.full(CLASSES, smoothing / CLASSES)
    target[label] += 1 - smoothing
    total -= (weights * target * log_probs).sum()
    count += weights[label]
  return total / count


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('weights', [None, WEIGHTS], ids=['even', 'weighted'])
def test_loss_equals_a_loop_over_pixels(logits, labels, weights, smoothing):
  loss = cross_entropy(
      logits, labels, class_weights=weights, label_smoothing=smoothing
  )
  weights = np.ones(CLASSES) if weights is None else weights
  expected = reference(logits, labels, weights, smoothing)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('label', [CLASSES, 254, -1])
def test_a_label_of_no_class_counts_as_ignored(
    logits, labels, label, smoothing
):
  wrong = labels.astype(np.int32)
  wrong[labels == 255] = label
  expected, same = (
      jax.value_and_grad(cross_entropy)(logits, y, label_smoothing=smoothing)
      for y in (labels, wrong)
  )
  np.testing.assert_array_equal(same[0], expected[0])
  np.testing.assert_array_equal(same[1], expected[1])


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_ignored_pixels_get_no_gradient(logits, labels, smoothing):
  gradient = jax.grad(cross_entropy)(logits, labels, label_smoothing=smoothing)
  np.testing.assert_array_equal(gradient[labels == 255], 0)
  assert (np.abs(gradient[labels != 255]).max(-1) > 0).all()


@pytest.mark.parametrize('weights', [None, WEIGHTS], ids=['even', 'weighted'])
def test_without_a_valid_pixel_loss_and_gradient_are_zero(logits, weights):
  labels = np.full(logits.shape[:-1], 255, np.uint8)
  value, gradient = jax.value_and_grad(cross_entropy)(
      logits, labels, class_weights=weights, label_smoothing=0.1
  )
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


def test_where_all_valid_pixels_weigh_nothing_the_loss_is_zero(logits):
  labels = np.full(logits.shape[:-1], 2, np.uint8)
  value, gradient = jax.value_and_grad(cross_entropy)(
      logits, labels, class_weights=WEIGHTS
  )
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


def test_the_label_to_ignore_can_be_another(logits, labels):
  labels = np.where(labels == 255, 0, labels)
  np.testing.assert_array_equal(
      cross_entropy(logits, labels, ignore=0),
      cross_entropy(logits, np.where(labels == 0, 255, labels)),
  )


def test_confident_logits_stay_finite(labels):
  right = np.where(labels == 255, 0, labels)
  logits = 1e4 * np.eye(CLASSES, dtype=np.float32)[right]
  assert cross_entropy(logits, labels) == 0
  value, gradient = jax.value_and_grad(cross_entropy)(-logits, labels)
  assert value == pytest.approx(1e4, rel=1e-3)
  assert np.isfinite(gradient).all()


def test_loss_of_bfloat16_logits_is_computed_in_float32(logits, labels):
  half = jnp.array(logits, jnp.bfloat16)
  loss = cross_entropy(half, labels)
  assert loss.dtype == jnp.float32
  assert loss == cross_entropy(half.astype(jnp.float32), labels)


@pytest.mark.parametrize('divide_by', ['weights', 'valid'])
def test_weights_of_pixels_are_factors_of_their_terms(
    logits, labels, divide_by
):
  pixel_weights = np.random.default_rng(3).uniform(0, 4, labels.shape)
  valid = labels != 255
  target = np.eye(CLASSES)[np.where(valid, labels, 0)]
  probs = np.exp(np.float64(logits))
  probs /= probs.sum(-1, keepdims=True)
  factors = pixel_weights * valid
  factors /= factors.sum() if divide_by == 'weights' else valid.sum()

  value, gradient = jax.value_and_grad(cross_entropy)(
      logits, labels, pixel_weights=pixel_weights, divide_by=divide_by
  )
  expected = -(factors * np.log((target * probs).sum(-1))).sum()
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  np.testing.assert_allclose(
      gradient, factors[..., None] * (probs - target), atol=1e-7
  )


@pytest.mark.parametrize('divide_by', ['weights', 'valid'])
def test_weights_of_pixels_are_those_of_the_global_batch(divide_by):
  rng = np.random.default_rng(4)
  logits = rng.normal(size=(8, 6, 5, CLASSES)).astype(np.float32)
  labels = rng.integers(0, CLASSES, (8, 6, 5))
  labels[2:] = np.where(rng.random((6, 6, 5)) < 0.5, 255, labels[2:])
  weights = rng.uniform(0, 2, labels.shape) * np.arange(8)[:, None, None]

  def loss(logits, labels, weights):
    return cross_entropy(
        logits, labels, pixel_weights=weights, divide_by=divide_by
    )

  value, gradient = jax.value_and_grad(loss)(logits, labels, weights)
  values, gradients = jax.pmap(jax.value_and_grad(loss), parallel.AXIS)(
      logits[:, None], labels[:, None], weights[:, None]
  )
  np.testing.assert_allclose(values.mean(), value, rtol=2e-6)
  np.testing.assert_allclose(gradients[:, 0] / 8, gradient, atol=1e-8)


def test_where_no_pixel_weighs_anything_the_loss_is_zero(logits, labels):
  value, gradient = jax.value_and_grad(cross_entropy)(
      logits, labels, pixel_weights=np.zeros(labels.shape)
  )
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)
