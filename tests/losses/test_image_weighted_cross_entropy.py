import numpy as np
import pytest

from segjax.losses.image_weighted_cross_entropy import (
    image_weighted_cross_entropy,
)

CLASSES = 4


def of_image(logits, label):
  """The loss of one image, pixel by pixel."""
  valid = [int(k) for k in label.ravel() if k != 255]
  total = weight_sum = 0.0
  for z, k in zip(logits.reshape(-1, CLASSES), label.ravel(), strict=True):
    if k != 255:
      weight = 1 + (1 - valid.count(k) / len(valid))
      z = np.float64(z)
      total -= weight * (z[k] - np.log(np.exp(z).sum()))
      weight_sum += weight
  return total / weight_sum


@pytest.mark.parametrize('average', [True, False])
def test_each_image_has_its_own_weights(logits, labels, average):
  # The last image shows nothing, and does not count.
  logits = np.concatenate([logits, logits[:1]])
  labels = np.concatenate([labels, np.full_like(labels[:1], 255)])
  expected = [
      of_image(z, label) for z, label in zip(logits[:-1], labels, strict=False)
  ]
  expected = np.mean(expected) if average else np.sum(expected)
  loss = image_weighted_cross_entropy(logits, labels, average=average)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
