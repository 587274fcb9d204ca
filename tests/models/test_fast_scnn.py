import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models

NARROW = dict(stem=(4, 4, 8), widths=(8, 8, 12), features=8, aux_features=4)


@pytest.mark.parametrize('size', [(7, 130), (33, 41), (64, 96)])
def test_logits_have_the_size_of_any_image(size):
  model = models.create('fast_scnn', 5, **NARROW)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  for logits in (out['logits'], *out['aux'].values()):
    assert logits.shape == (2, *size, 5)


def test_without_channels_there_are_no_auxiliary_heads():
  model = models.create('fast_scnn', 5, **{**NARROW, 'aux_features': 0})
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['aux'] == {}
  assert not any(name.startswith('aux') for name in variables['params'])


def test_only_the_fine_auxiliary_head_does_without_the_deep_branch(
    random_variables,
):
  model = models.create('fast_scnn', 5, **NARROW)
  image = jax.random.normal(jax.random.key(0), (1, 64, 96, 3))
  variables = random_variables(model, image.shape)
  apply = jax.jit(model.apply)
  whole = apply(variables, image)
  extractor = variables['params']['extractor']
  variables['params']['extractor'] = jax.tree.map(lambda x: 2 * x, extractor)
  other = apply(variables, image)
  np.testing.assert_array_equal(other['aux']['fine'], whole['aux']['fine'])
  assert not np.allclose(other['aux']['deep'], whole['aux']['deep'])
  assert not np.allclose(other['logits'], whole['logits'])
