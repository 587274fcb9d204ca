from flax import linen as nn
import jax
import jax.numpy as jnp
import pytest

from segjax import models


def initialised(size=(64, 96), **fields):
  """Outputs and variables, as shapes."""
  model = models.create('tf_pets_unet', 3, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize('size', [(32, 64), (33, 47)])
def test_logits_have_the_size_of_any_image(size):
  out, _ = initialised(size)
  assert out['logits'].shape == (2, *size, 3)


def test_there_are_as_many_variables_as_in_the_tutorial():
  _, variables = initialised()
  counts = {'backbone': 0, 'decoder': 0, 'trained': 0}
  for path, value in jax.tree.leaves_with_path(variables):
    part = 'backbone' if path[1].key == 'backbone' else 'decoder'
    counts[part] += value.size
    if part == 'decoder' and path[0].key == 'params':
      counts['trained'] += value.size
  assert counts == {
      'backbone': 1_841_984,
      'decoder': 4_662_243,
      'trained': 4_660_323,
  }


@pytest.mark.parametrize('frozen', [False, True])
def test_norms_of_a_frozen_backbone_are_not_trained(frozen):
  model = models.create(
      'tf_pets_unet',
      3,
      backbone='mobilenet/tiny(expanded=True, last_norm=False)',
      features=(4, 4, 4, 4),
      frozen=frozen,
  )
  seen = {}

  def record(call, args, kwargs, context):
    module = context.module
    if hasattr(module, 'batch_at_test'):  # A batch norm.
      seen.setdefault(module.path[0], set()).add(module.train)
    return call(*args, **kwargs)

  image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
  with nn.intercept_methods(record):
    jax.eval_shape(
        lambda image: model.init(jax.random.key(0), image, train=True), image
    )
  assert seen.pop('backbone') == {not frozen}
  assert set(map(frozenset, seen.values())) == {frozenset({True})}
