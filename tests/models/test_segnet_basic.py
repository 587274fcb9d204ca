import jax
import numpy as np
import pytest

from segjax import models


@pytest.mark.parametrize('size', [(1, 1), (9, 14), (33, 30)])
def test_images_of_any_size_are_segmented(size):
  model = models.create('segnet_basic', 3, features=4, kernel=3)
  image = jax.random.normal(jax.random.key(0), (1, *size, 3))
  out, _ = jax.jit(model.init_with_output)(jax.random.key(1), image)
  assert out['logits'].shape == (1, *size, 3)
  assert np.isfinite(out['logits']).all()
