import jax
import jax.numpy as jnp
import pytest

from segjax import models


@pytest.mark.parametrize(
    ('backbone', 'skips'),
    [('resnet/tiny', (32, 16, 16)), ('mobilenet/v2', (32, 24, 16))],
)
def test_features_of_the_backbone_join_those_from_below(backbone, skips):
  model = models.create(
      'unet_backbone', 7, backbone=backbone, features=(6, 5, 4, 3, 2)
  )
  image = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  joined = [
      params[f'up{level}']['conv1']['conv']['kernel'].shape[2]
      for level in (3, 2, 1, 0)
  ]
  assert joined == [6 + skips[0], 5 + skips[1], 4 + skips[2], 3]


def test_features_of_another_number_are_refused():
  model = models.create('unet_backbone', 7, features=(8, 8, 8, 8))
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  with pytest.raises(ValueError, match='there are 5 enlargements'):
    jax.eval_shape(model.init, jax.random.key(0), image)
