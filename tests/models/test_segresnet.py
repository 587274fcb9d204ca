import jax
import jax.numpy as jnp
import pytest

from segjax import models


@pytest.mark.parametrize('size', [(32, 64), (33, 65), (47, 98), (7, 20)])
def test_logits_have_the_size_of_any_image(size):
  model = models.create(
      'segresnet', 5, backbone='resnet/tiny(width=4)', depths=(1, 1, 1, 1)
  )
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['logits'].shape == (2, *size, 5)


def test_the_decoder_mirrors_the_blocks_of_the_backbone():
  model = models.create('segresnet', 5)
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  for level in (2, 3, 4, 5):
    encoder = [
        name
        for name in params['backbone']
        if name.startswith(f'stage{level - 1}_')
    ]
    decoder = [name for name in params if name.startswith(f'decoder{level}_')]
    assert len(encoder) == len(decoder)
