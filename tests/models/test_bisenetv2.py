import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.models.bisenetv2 import GatherExpansion

NARROW = dict(
    detail=(4, 4, 8),
    semantic=(4, 4, 4, 8),
    expansion=2,
    head_features=8,
    boosters=(4, 4, 0, 4),
)


def test_a_stage_without_channels_for_its_booster_has_none():
  model = models.create('bisenetv2', 5, **NARROW)
  image = jax.ShapeDtypeStruct((1, 33, 129, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert set(out['aux']) == {'stage1', 'stage2', 'stage4'}
  for logits in (out['logits'], *out['aux'].values()):
    assert logits.shape == (1, 33, 129, 5)
  assert 'aux_stage3' not in variables['params']


def test_boosters_see_the_semantic_branch_alone(random_variables):
  model = models.create('bisenetv2', 5, **NARROW)
  image = jax.random.normal(jax.random.key(0), (1, 33, 65, 3))
  variables = random_variables(model, image.shape)
  apply = jax.jit(model.apply)
  whole = apply(variables, image)
  detail = variables['params']['detail']
  variables['params']['detail'] = jax.tree.map(lambda x: 2 * x, detail)
  other = apply(variables, image)
  assert not np.allclose(other['logits'], whole['logits'])
  for stage, logits in whole['aux'].items():
    np.testing.assert_array_equal(other['aux'][stage], logits)


def test_a_block_that_projects_to_nothing_is_its_shortcut():
  block = GatherExpansion(4, stride=1, expansion=2)
  x = jax.random.normal(jax.random.key(0), (1, 5, 6, 4))
  variables = block.init(jax.random.key(1), x, False)
  scale = variables['params']['project']['norm']['scale']
  variables['params']['project']['norm']['scale'] = 0 * scale
  np.testing.assert_array_equal(
      block.apply(variables, x, False), np.maximum(x, 0)
  )
