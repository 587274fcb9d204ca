import jax
import jax.numpy as jnp

from segjax import models


def test_a_finer_level_may_be_pooled_and_its_mean_have_no_norm():
  model = models.create(
      'pspnet',
      5,
      backbone='resnet/tiny',
      level='c3',
      features=9,
      pool_features=8,
      plain_mean=True,
      fuse_kernel=1,
      classifier_kernel=3,
      aux_level='',
  )
  image = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (1, 65, 97, 5)
  params = variables['params']
  assert set(params['ppm']['level0']) == {'conv'}
  assert set(params['ppm']['level0']['conv']) == {'kernel', 'bias'}
  assert set(params['ppm']['level1']) == {'conv', 'norm'}
  assert params['fuse']['conv']['kernel'].shape == (1, 1, 32 + 4 * 8, 9)
  assert params['classifier']['kernel'].shape == (3, 3, 9, 5)
