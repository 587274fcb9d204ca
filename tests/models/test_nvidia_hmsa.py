import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import nvidia_hmsa
from segjax.ops.resize import resize

CLASSES = 3


def draw(size, channels, seed):
  return jax.random.uniform(jax.random.key(seed), (1, *size, channels))


class Scales:
  """Stands for the model: outputs by height, drawn at random."""

  def __init__(self):
    self.outputs = {}

  def __call__(self, batch, key):
    size = batch['image'].shape[1:3]
    self.outputs[size] = out = {
        'aux': {'high': draw(size, CLASSES, size[0])},
        'attention': draw(size, 1, size[0] + 1),
    }
    return out


def chain(scales, size):
  apply = Scales()
  model = models.create('nvidia_hmsa', CLASSES, scales=scales)
  image = draw(size, 3, 0)
  out = nvidia_hmsa.predict(model, apply, {'image': image}, None)
  return out['logits'], {
      size: (out['aux']['high'], out['attention'])
      for size, out in apply.outputs.items()
  }


def test_attention_chooses_between_two_scales():
  low, high = draw((3, 4), CLASSES, 0), draw((7, 9), CLASSES, 1)
  ones = jnp.ones((1, 3, 4, 1))
  mixed = nvidia_hmsa.mix(low, high, ones)
  np.testing.assert_allclose(mixed, resize(low, (7, 9)), atol=1e-6)
  np.testing.assert_allclose(nvidia_hmsa.mix(low, high, 0 * ones), high)


def test_scales_are_chained_from_the_largest_down():
  logits, outputs = chain((1.0, 0.5, 2.0), (7, 9))
  assert list(outputs) == [(14, 18), (7, 9), (3, 4)]  # Rounded down.
  (top, _), (one, a), (half, b) = outputs.values()
  expected = a * one + (1 - a) * resize(top, (7, 9))
  b, half = resize(b, (7, 9)), resize(b * half, (7, 9))
  np.testing.assert_allclose(logits, half + (1 - b) * expected, atol=1e-6)


def test_the_scale_of_the_image_has_to_be_there():
  with pytest.raises(ValueError, match=r'\(0.5, 2.0\): 1.0 has to be among'):
    chain((0.5, 2.0), (7, 9))
  logits, outputs = chain((1.0,), (7, 9))
  np.testing.assert_array_equal(logits, outputs[7, 9][0])


def test_only_the_mixed_scores_have_the_region_loss():
  config = importlib.import_module('configs.nvidia_hmsa').get_config()
  assert 'rmi' in config.loss
  assert 'rmi' not in config.aux_loss
  assert config.aux_weight.to_dict() == dict(objects=0.4, low=0.05, high=0.05)
