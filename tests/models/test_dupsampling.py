import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.ops.pixel_shuffle import depth_to_space


def test_patches_lie_side_by_side():
  factor, classes = 3, 2
  x = np.arange(2 * 2 * 3 * factor**2 * classes, dtype=np.float32)
  x = x.reshape(2, 2, 3, -1)
  pixels = depth_to_space(x, factor)
  assert pixels.shape == (2, 6, 9, classes)
  for i, j in np.ndindex(6, 9):
    start = (i % factor * factor + j % factor) * classes
    np.testing.assert_array_equal(
        pixels[:, i, j],
        x[:, i // factor, j // factor, start : start + classes],
    )


@pytest.mark.parametrize('size', [(32, 48), (33, 50)])
def test_the_last_patches_are_cropped(size):
  model = models.create(
      'dupsampling',
      3,
      backbone='resnet/tiny(output_stride=16)',
      features=8,
      low_features=4,
      code_features=6,
  )
  image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (1, *size, 3)
  params = variables['params']
  assert params['expand']['kernel'].shape == (1, 1, 6, 16 * 16 * 3)
  assert 'bias' not in params['expand']
  # The stem's 16 and c4's 64 channels meet before they are reduced.
  assert params['low']['conv']['kernel'].shape == (1, 1, 80, 4)


def test_the_temperature_divides_the_scores(random_variables):
  model = models.create(
      'dupsampling',
      2,
      backbone='resnet/tiny(output_stride=16)',
      features=4,
      low_features=4,
      code_features=3,
  )
  image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))
  variables = random_variables(model, image.shape)
  apply = jax.jit(lambda variables: model.apply(variables, image)['logits'])
  variables['params']['temperature'] = np.float32(1)
  cold = apply(variables)
  variables['params']['temperature'] = np.float32(4)
  np.testing.assert_allclose(apply(variables), cold / 4, rtol=1e-5)
