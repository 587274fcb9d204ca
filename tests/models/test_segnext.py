import functools

import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.layers.norm import group_norm
from segjax.models.segnext import Hamburger
from segjax.ops.factorization import random_bases


def test_evaluation_repeats_itself_and_training_draws_bases():
  layer = Hamburger(3, 6, functools.partial(group_norm, groups=2))
  rng = np.random.default_rng(0)
  x = rng.uniform(size=(2, 4, 5, 8)).astype(np.float32)

  @jax.jit
  def run(x):
    variables = layer.init(jax.random.key(0), x, None, False)

    def train(seed):
      keys = {'sample': jax.random.key(seed)}
      return layer.apply(variables, x, None, True, rngs=keys)

    bases = random_bases(jax.random.key(0), 1, 8, 3)
    return (
        layer.apply(variables, x, None, False),
        layer.apply(variables, x, bases, False),
        layer.apply(variables, x[1:], None, False),
        *map(train, (1, 1, 2)),
    )

  both, given, second, first_draw, again, other_draw = run(x)
  np.testing.assert_allclose(given, both, atol=1e-5)
  np.testing.assert_allclose(second[0], both[1], atol=1e-5)
  np.testing.assert_array_equal(first_draw, again)
  assert not np.allclose(first_draw, other_draw, atol=1e-4)


def test_any_size_down_to_a_pixel_has_logits_of_that_size():
  model = models.create(
      'segnext', 3, backbone='mscan/mini', features=8, groups=2
  )
  for size in ((1, 1), (31, 66)):
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert out['logits'].shape == (1, *size, 3)
