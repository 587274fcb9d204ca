import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.frrn import FullResolutionUnit


def initialised(size=(32, 32), num_classes=5, **fields):
  """Outputs and variables, as shapes."""
  model = models.create('frrn', num_classes, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize('size', [(16, 32), (17, 31)])
def test_logits_have_the_size_of_any_image(size):
  out, _ = initialised(size, features=4, lanes=2)
  assert out['logits'].shape == (2, *size, 5)


@pytest.mark.parametrize(
    ('variant', 'millions'), [('A', 17.747), ('B', 24.756)]
)
def test_variants_are_as_large_as_the_authors(variant, millions):
  _, variables = initialised(num_classes=19, variant=variant)
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert round(count / 1e6, 3) == millions


def test_a_unit_adds_the_same_to_all_pixels_that_it_pooled():
  unit = FullResolutionUnit(6, stride=4)
  x = jax.random.normal(jax.random.key(0), (1, 3, 2, 5))
  residual = jax.random.normal(jax.random.key(1), (1, 12, 8, 7))
  variables = unit.init(jax.random.key(2), x, residual, False)
  y, new = unit.apply(variables, x, residual, False)
  assert y.shape == (1, 3, 2, 6)
  added = np.asarray(new - residual).reshape(3, 4, 2, 4, 7)
  first = added[:, :1, :, :1]
  np.testing.assert_allclose(
      added, np.broadcast_to(first, added.shape), atol=1e-6
  )
  assert np.abs(np.diff(first, axis=0)).max() > 1e-2


def test_a_unit_reads_the_maxima_of_the_residual_stream():
  unit = FullResolutionUnit(6, stride=4)
  x = jnp.zeros((1, 1, 1, 2))
  residual = jnp.zeros((1, 4, 4, 1)).at[0, 2, 1, 0].set(1.0)
  variables = unit.init(jax.random.key(2), x, residual, False)
  gradient = jax.grad(
      lambda residual: unit.apply(variables, x, residual, False)[0].sum()
  )(residual)
  assert np.argwhere(gradient).tolist() == [[0, 2, 1, 0]]


def test_an_unknown_variant_is_refused_with_those_there_are():
  with pytest.raises(ValueError, match="'C'.* A, B"):
    initialised(variant='C')
