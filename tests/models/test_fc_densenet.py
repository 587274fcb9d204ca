import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers.norm import BatchNorm
from segjax.models.fc_densenet import Layer


def initialised(size=(64, 64), num_classes=5, **fields):
  """Outputs and variables, as shapes."""
  model = models.create('fc_densenet', num_classes, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize('size', [(16, 24), (17, 31), (25, 22)])
def test_logits_have_the_size_of_any_image(size):
  out, _ = initialised(size, variant='tiny')
  assert out['logits'].shape == (2, *size, 5)


@pytest.mark.parametrize(
    ('variant', 'millions', 'last'),
    [('56', 1.377, 192), ('67', 3.46, 288), ('103', 9.322, 256)],
)
def test_variants_are_as_large_as_published(variant, millions, last):
  _, variables = initialised(num_classes=11, variant=variant)
  params = variables['params']
  count = sum(x.size for x in jax.tree.leaves(params))
  assert abs(count / 1e6 - millions) < 5e-3
  assert params['classifier']['kernel'].shape[-2] == last


def test_only_new_features_are_enlarged():
  _, variables = initialised(variant='103')
  for i, depth in enumerate((15, 12, 10, 7, 5)):
    kernel = variables['params'][f'transition_up{i}']['kernel']
    assert kernel.shape == (3, 3, 16 * depth, 16 * depth)


@pytest.mark.parametrize('drop_channels', [False, True])
def test_dropout_is_of_values_or_of_channels(drop_channels):
  layer = Layer(
      32, 3, functools.partial(BatchNorm), 0.5, drop_channels=drop_channels
  )
  x = jax.random.normal(jax.random.key(0), (2, 4, 5, 3))
  variables = layer.init(jax.random.key(1), x, False)
  y, _ = layer.apply(
      variables,
      x,
      True,
      rngs={'dropout': jax.random.key(2)},
      mutable=['batch_stats'],
  )
  kept = np.asarray(y != 0).mean((1, 2))
  assert 0.3 < kept.mean() < 0.7
  assert set(np.unique(kept)) <= {0, 1} or not drop_channels
  assert kept.min() > 0 or drop_channels


def test_an_unknown_variant_is_refused_with_those_there_are():
  with pytest.raises(ValueError, match="'57'.* 56, 67, 103"):
    initialised(variant='57')
