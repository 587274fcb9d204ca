import jax
import jax.numpy as jnp
import pytest

from segjax import models


def test_there_are_as_many_parameters_as_the_authors_have():
  model = models.create('fully_dilated', 1)
  grey = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), grey)
  sizes = [x.size for x in jax.tree.leaves(variables)]
  assert sum(sizes) == 9_414_017


@pytest.mark.parametrize(('rates', 'reach'), [((1, 1), 15), ((2, 5), 25)])
def test_a_pixel_sees_as_far_as_the_rates_add_up_to(rates, reach):
  # Eleven plain 3x3 convolutions, and each rate on the way down and up.
  model = models.create('fully_dilated', 1, features=2, rates=rates)
  image = jnp.ones((1, 1, 71, 1))
  variables = model.init(jax.random.key(0), image)
  positive = jax.tree.map(jnp.abs, variables)

  def middle(image):
    return model.apply(positive, image)['logits'][0, 0, 35, 0]

  seen = jax.jit(jax.grad(middle))(image).ravel().nonzero()[0]
  assert (seen.min(), seen.max()) == (35 - reach, 35 + reach)
