import numpy as np
import pytest
from scipy import special

from segjax.evaluation import calibration

IGNORE = 255


def drawn(num_classes=5, length=20_000, seed=0):
  """Logits, and labels that are drawn by their probabilities."""
  rng = np.random.default_rng(seed)
  logits = 2 * rng.normal(size=(length, num_classes))
  shares = special.softmax(logits, 1).cumsum(1)
  label = (rng.random((length, 1)) > shares).sum(1).astype(np.uint8)
  return logits, label.clip(0, num_classes - 1)


def decisions(logits, label, overlapping=False):
  activate = special.expit if overlapping else special.softmax
  axis = {} if overlapping else {'axis': 1}
  probabilities = activate(logits, **axis).astype(np.float32)
  return calibration.log_probabilities(
      probabilities, label, overlapping, IGNORE
  )


@pytest.mark.parametrize('scale', [0.5, 1.0, 2.5])
def test_a_known_scaling_of_logits_is_recovered(scale):
  logits, label = drawn()
  label[::7] = IGNORE
  logs, right = decisions(scale * logits, label)
  assert len(right) == (label != IGNORE).sum()
  assert calibration.fit(logs, right) == pytest.approx(scale, rel=0.04)


@pytest.mark.parametrize('scale', [0.5, 2.5])
def test_a_known_scaling_of_sigmoids_is_recovered(scale):
  rng = np.random.default_rng(1)
  logits = 2 * rng.normal(size=(20_000, 3))
  label = (rng.random(logits.shape) < special.expit(logits)).astype(np.uint8)
  label[::5, 1] = IGNORE  # For one class, and not for the others.
  logs, right = decisions(scale * logits, label, overlapping=True)
  assert logs.shape == ((label != IGNORE).sum(), 2)
  assert calibration.fit(logs, right) == pytest.approx(scale, rel=0.04)


def test_likelihood_is_that_of_scaled_logits():
  logits, label = drawn(length=100)
  logs, right = decisions(logits, label)
  for temperature in (1.0, 1.7):
    expected = -special.log_softmax(logits / temperature, 1)
    found = calibration.negative_log_likelihood(logs, right, temperature)
    np.testing.assert_allclose(
        found, expected[np.arange(100), label].mean(), rtol=1e-5
    )


def test_calibration_error_is_that_of_its_formula():
  logits, label = drawn(length=997)
  logs, right = decisions(3 * logits, label)
  probabilities = special.softmax(3 * logits / 1.3, 1)
  confidence = probabilities.max(1)
  hit = probabilities.argmax(1) == label
  expected = 0.0
  for i in range(calibration.BINS):
    low, high = i / calibration.BINS, (i + 1) / calibration.BINS
    inside = (confidence > low) & (confidence <= high)
    if inside.any():
      gap = abs(hit[inside].mean() - confidence[inside].mean())
      expected += inside.mean() * gap
  found = calibration.reliability(logs, right, 1.3)
  assert found.error == pytest.approx(expected, abs=1e-4)
  assert found.counts.sum() == 997


def test_a_temperature_mends_what_is_too_sure():
  logits, label = drawn()
  logs, right = decisions(2.5 * logits, label)
  before = calibration.reliability(logs, right)
  after = calibration.reliability(logs, right, calibration.fit(logs, right))
  assert before.error > 0.1
  assert after.error < 0.02
  # What is chosen stays the same.
  assert before.counts @ before.accuracy == pytest.approx(
      after.counts @ after.accuracy
  )


def test_probabilities_of_0_and_1_are_finite():
  sure = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
  logs, right = calibration.log_probabilities(
      sure, np.array([1, 1], np.uint8), False, IGNORE
  )
  assert np.isfinite(calibration.negative_log_likelihood(logs, right))
  logs, right = calibration.log_probabilities(
      sure, np.ones((2, 2), np.uint8), True, IGNORE
  )
  assert np.isfinite(calibration.negative_log_likelihood(logs, right))
