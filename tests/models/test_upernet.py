import jax
import jax.numpy as jnp

from segjax import models


def test_levels_may_be_normalised_by_their_channels_first():
  image = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)

  def names(**fields):
    model = models.create('upernet', 5, backbone='resnet/tiny', **fields)
    return set(jax.eval_shape(model.init, jax.random.key(0), image)['params'])

  more = names(norm_levels=True) - names()
  assert more == {f'norm_c{i}' for i in (2, 3, 4, 5)}
