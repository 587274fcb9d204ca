"""A batch of four classes, some of it ignored."""

import numpy as np
import pytest


@pytest.fixture
def logits():
  rng = np.random.default_rng(0)
  return 3 * rng.normal(size=(2, 5, 6, 4)).astype(np.float32)


@pytest.fixture
def labels():
  rng = np.random.default_rng(1)
  labels = rng.integers(0, 4, (2, 5, 6)).astype(np.uint8)
  labels[rng.random(labels.shape) < 0.3] = 255
  return labels
