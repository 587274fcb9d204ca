import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import parallel
from segjax.layers import remat

SYSTEMS = {
    'deeplabv3': dict(backbone='resnet/18(output_stride=16)'),
    'hrnet': dict(backbone='hrnet/tiny'),
    'unet': dict(width=4),
}


def gradients(name, on):
  """Returns gradients and statistics, and the bytes they took."""
  model = models.create(name, 3, **SYSTEMS[name])
  image = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
  variables = jax.jit(model.init)(jax.random.key(0), image)

  def loss(params):
    with remat.rematerialized(on):
      out, mutable = model.apply(
          {**variables, 'params': params},
          image,
          train=True,
          mutable=['batch_stats'],
          rngs={'dropout': jax.random.key(1)},
      )
    return jnp.square(out['logits']).mean(), mutable

  gradient = jax.jit(
      jax.grad(loss, has_aux=True), compiler_options=parallel.compiler_options()
  )
  compiled = gradient.lower(variables['params']).compile()
  memory = compiled.memory_analysis().temp_size_in_bytes
  return compiled(variables['params']), memory


@pytest.mark.parametrize('name', SYSTEMS)
def test_blocks_that_are_computed_again_save_memory_and_change_nothing(name):
  kept, memory = gradients(name, False)
  again, less = gradients(name, True)
  assert jax.tree.structure(kept) == jax.tree.structure(again)
  for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(again), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-3)
  assert less < 0.8 * memory
