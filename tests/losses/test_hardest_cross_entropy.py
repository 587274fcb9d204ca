import jax
import numpy as np
import pytest

from segjax.losses.cross_entropy import cross_entropy
from segjax.losses.hardest_cross_entropy import hardest_cross_entropy


def reference(logits, labels, weights, fraction):
  """The mean over the largest terms, pixel by pixel."""
  terms = []
  for z, label, weight in zip(
      logits.reshape(-1, logits.shape[-1]),
      labels.ravel(),
      weights.ravel(),
      strict=True,
  ):
    log_probs = z - np.log(np.exp(np.float64(z)).sum())
    terms.append(0.0 if label == 255 else -weight * log_probs[label])
  count = int(fraction * len(terms))
  return np.mean(sorted(terms)[-count:]), count


@pytest.mark.parametrize('fraction', [0.1, 0.2, 0.9, 1.0])
def test_loss_equals_a_loop_over_pixels(logits, labels, fraction):
  weights = np.random.default_rng(2).uniform(0, 3, labels.shape)
  loss = hardest_cross_entropy(
      logits, labels, pixel_weights=weights, fraction=fraction
  )
  expected, _ = reference(logits, labels, weights, fraction)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_just_the_hardest_get_a_gradient(logits, labels):
  gradient = jax.grad(hardest_cross_entropy)(logits, labels, fraction=0.2)
  _, count = reference(logits, labels, np.ones(labels.shape), 0.2)
  assert (np.abs(gradient).max(-1) > 0).sum() == count


def test_pixels_that_are_equally_hard_share_the_places():
  logits = np.zeros((1, 2, 5, 3), np.float32)
  labels = np.zeros((1, 2, 5), np.uint8)
  value, gradient = jax.value_and_grad(hardest_cross_entropy)(
      logits, labels, fraction=0.3
  )
  np.testing.assert_allclose(value, np.log(3), rtol=1e-6)
  np.testing.assert_allclose(gradient, gradient[:, :1, :1] + 0 * gradient)
  np.testing.assert_allclose(gradient[..., 0].sum(), 1 / 3 - 1, rtol=1e-5)


def test_of_all_pixels_it_is_the_mean_over_all(logits, labels):
  np.testing.assert_allclose(
      hardest_cross_entropy(logits, labels, fraction=1.0),
      cross_entropy(logits, labels, divide_by='all'),
      rtol=1e-6,
  )


@pytest.mark.parametrize('fraction', [0.0, 1.5])
def test_a_share_that_is_none_is_refused(logits, labels, fraction):
  with pytest.raises(ValueError, match=f'fraction={fraction}'):
    hardest_cross_entropy(logits, labels, fraction=fraction)
