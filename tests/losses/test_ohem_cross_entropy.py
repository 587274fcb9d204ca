import jax
import numpy as np
import pytest

from segjax.losses.cross_entropy import cross_entropy
from segjax.losses.ohem_cross_entropy import ohem_cross_entropy

CLASSES = 4
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0], np.float32)


def reference(logits, labels, weights, threshold, min_kept):
  """The mean, pixel by pixel; also how many are kept."""
  pixels = []
  for z, label in zip(logits.reshape(-1, CLASSES), labels.ravel(), strict=True):
    if label != 255:
      prob = np.exp(z[label]) / np.exp(np.float64(z)).sum()
      pixels.append((prob, weights[label]))
  pixels.sort()
  place = min(min_kept * len(logits), len(pixels) - 1)
  threshold = max(threshold, pixels[place][0])
  kept = [-weight * np.log(p) for p, weight in pixels if p < threshold]
  return np.mean(kept), len(kept)


@pytest.mark.parametrize('weights', [None, WEIGHTS], ids=['even', 'weighted'])
@pytest.mark.parametrize(
    ('threshold', 'min_kept', 'kept'),
    [(0.7, 1, 33), (0.0, 8, 16), (0.9, 5, 39), (0.05, 100, 41)],
)
def test_loss_equals_a_loop_over_pixels(
    logits, labels, weights, threshold, min_kept, kept
):
  loss = ohem_cross_entropy(
      logits,
      labels,
      class_weights=weights,
      threshold=threshold,
      min_kept=min_kept,
  )
  weights = np.ones(CLASSES) if weights is None else weights
  mean, count = reference(logits, labels, weights, threshold, min_kept)
  assert count == kept
  np.testing.assert_allclose(loss, mean, rtol=1e-5)


@pytest.mark.parametrize(
    ('threshold', 'min_kept', 'kept'),
    [(0.0, 8, 16), (0.0, 100, 42), (0.7, 1, 33)],
)
def test_pixels_at_the_threshold_are_kept_if_that_is_asked_for(
    logits, labels, threshold, min_kept, kept
):
  loss = ohem_cross_entropy(
      logits, labels, threshold=threshold, min_kept=min_kept, inclusive=True
  )
  entropy = -np.asarray(jax.nn.log_softmax(logits))
  valid = labels != 255
  true = np.take_along_axis(entropy, np.where(valid, labels, 0)[..., None], -1)
  hardest = np.sort(true[valid].ravel())[::-1]
  np.testing.assert_allclose(loss, hardest[:kept].mean(), rtol=1e-5)


def test_a_threshold_above_one_keeps_every_valid_pixel(logits, labels):
  np.testing.assert_allclose(
      ohem_cross_entropy(logits, labels, threshold=1.1),
      cross_entropy(logits, labels),
      rtol=1e-6,
  )


@pytest.mark.parametrize('label', [CLASSES, 254, -1])
def test_a_label_of_no_class_counts_as_ignored(logits, labels, label):
  wrong = labels.astype(np.int32)
  wrong[labels == 255] = label
  expected, same = (
      jax.value_and_grad(ohem_cross_entropy)(
          logits, y, threshold=1.1, min_kept=100
      )
      for y in (labels, wrong)
  )
  np.testing.assert_array_equal(same[0], expected[0])
  np.testing.assert_array_equal(same[1], expected[1])


def test_pixels_that_are_easy_or_ignored_get_no_gradient(logits, labels):
  gradient = jax.grad(ohem_cross_entropy)(
      logits, labels, threshold=0.0, min_kept=8
  )
  touched = np.abs(gradient).max(-1) > 0
  assert touched.sum() == 16
  assert not touched[labels == 255].any()


def test_without_a_valid_pixel_loss_and_gradient_are_zero(logits):
  labels = np.full(logits.shape[:-1], 255, np.uint8)
  value, gradient = jax.value_and_grad(ohem_cross_entropy)(logits, labels)
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


def test_where_all_pixels_are_learnt_loss_and_gradient_are_zero(labels):
  right = np.where(labels == 255, 0, labels)
  logits = 100 * np.eye(CLASSES, dtype=np.float32)[right]
  value, gradient = jax.value_and_grad(ohem_cross_entropy)(logits, labels)
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)
