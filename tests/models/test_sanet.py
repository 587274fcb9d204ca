import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.losses.cross_entropy import cross_entropy
from segjax.models import sanet


def test_masks_and_dense_scores_add_up_and_are_trained_apart():
  shape = 2, 8, 8, 3
  masks, dense = jax.random.normal(jax.random.key(0), (2, *shape))
  batch = {'label': jax.random.randint(jax.random.key(1), shape[:3], 0, 3)}
  out = {
      'logits': masks + dense,
      'masks': masks,
      'aux': {'dense': dense},
      'presence': jnp.zeros((2, 3)),
  }

  def base(out, batch, rng):
    del rng
    total = cross_entropy(out['logits'], batch['label'])
    total += 0.8 * cross_entropy(out['aux']['dense'], batch['label'])
    return total, {}

  total, parts = sanet.loss(out, batch, jax.random.key(2), base=base)
  expected = cross_entropy(masks, batch['label'])
  expected += 0.8 * cross_entropy(dense, batch['label']) + 0.2 * np.log(2)
  np.testing.assert_allclose(total, expected, rtol=1e-5)
  assert parts['presence'] == pytest.approx(np.log(2))


def test_attention_passes_and_is_added():
  layer = sanet.SqueezeAndAttention(4)
  x = jax.random.normal(jax.random.key(0), (2, 7, 5, 3))  # Odd sides.
  variables = layer.init(jax.random.key(1), x, False)
  whole = layer.apply(variables, x, False)
  # Without the main branch, which ends in ReLU, attention is all there is.
  variables['params']['main2']['norm'] = {
      'scale': jnp.zeros(4),
      'bias': jnp.full(4, -1.0),
  }
  attention = layer.apply(variables, x, False)
  variables['params']['main2']['norm']['bias'] = jnp.ones(4)
  np.testing.assert_allclose(
      layer.apply(variables, x, False), 2 * attention, rtol=1e-5
  )
  assert whole.shape == (2, 7, 5, 4)
  assert (whole >= attention - 1e-6).all()


def test_presence_is_of_the_whole_image():
  model = models.create('sanet', 5, backbone='resnet/tiny', features=8)
  image = jax.ShapeDtypeStruct((2, 33, 49, 3), jnp.float32)
  out, _ = jax.eval_shape(
      lambda x: model.init_with_output(jax.random.key(0), x), image
  )
  assert out['presence'].shape == (2, 5)
  assert out['masks'].shape == out['aux']['dense'].shape == (2, 33, 49, 5)
