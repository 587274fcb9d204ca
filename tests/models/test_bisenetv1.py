import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models

NARROW = dict(backbone='resnet/tiny(width=4)', features=8, aux_features=4)


@pytest.mark.parametrize('aux_features', [0, 4])
def test_there_are_auxiliary_heads_if_they_have_channels(aux_features):
  model = models.create(
      'bisenetv1', 5, **{**NARROW, 'aux_features': aux_features}
  )
  image = jax.ShapeDtypeStruct((1, 33, 129, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert set(out['aux']) == ({'c3', 'c4'} if aux_features else set())
  heads = {name for name in variables['params'] if name.startswith('aux')}
  assert len(heads) == len(out['aux'])


def test_auxiliary_heads_see_the_context_path_alone(random_variables):
  model = models.create('bisenetv1', 5, **NARROW)
  image = jax.random.normal(jax.random.key(0), (1, 33, 65, 3))
  variables = random_variables(model, image.shape)
  apply = jax.jit(model.apply)
  whole = apply(variables, image)
  spatial = variables['params']['spatial']
  variables['params']['spatial'] = jax.tree.map(lambda x: 2 * x, spatial)
  other = apply(variables, image)
  assert not np.allclose(other['logits'], whole['logits'])
  for level in ('c3', 'c4'):
    np.testing.assert_array_equal(other['aux'][level], whole['aux'][level])
