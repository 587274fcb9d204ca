import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models

BACKBONE = 'resnet/tiny(output_stride=8)'


def outputs(image, **fields):
  model = models.create('hdc_duc', 3, backbone=BACKBONE, rates=(1,), **fields)
  return jax.eval_shape(model.init_with_output, jax.random.key(0), image)


@pytest.mark.parametrize('cell_width', [1, 2, 4, 8])
def test_a_position_predicts_all_cells_of_its_square(cell_width):
  image = jax.ShapeDtypeStruct((2, 32, 40, 3), jnp.float32)
  out, variables = outputs(image, cell_width=cell_width)
  assert out['logits'].shape == (2, 32, 40, 3)
  kernel = variables['params']['duc']['atrous0']['kernel']
  assert kernel.shape[-1] == 3 * (8 // cell_width) ** 2


@pytest.mark.parametrize('cell_width', [0, 3, 16])
def test_cells_that_do_not_fit_a_square_are_refused(cell_width):
  image = jax.ShapeDtypeStruct((2, 32, 40, 3), jnp.float32)
  with pytest.raises(ValueError, match='it is 1, 2, 4 or 8'):
    outputs(image, cell_width=cell_width)


def test_scores_are_those_of_their_cells(random_variables):
  image = np.random.default_rng(0).normal(size=(1, 16, 24, 3))
  model = models.create(
      'hdc_duc', 3, backbone=BACKBONE, rates=(1,), cell_width=1
  )
  variables = random_variables(model, image.shape)
  head = variables['params']['duc']['atrous0']
  head['kernel'] = np.zeros_like(head['kernel'])
  head['bias'] = np.arange(3 * 64, dtype=np.float32)
  logits = jax.jit(model.apply)(variables, image)['logits']
  for i, j, k in np.ndindex(16, 24, 3):
    assert logits[0, i, j, k] == 64 * k + 8 * (i % 8) + j % 8


@pytest.mark.parametrize('size', [(32, 48), (33, 47)])
def test_the_decoder_scores_images_of_any_size(size):
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, variables = outputs(image, decoder=True, features=8)
  assert out['logits'].shape == (2, *size, 3)
  decoder = variables['params']['decoder']
  assert decoder['duc_features']['cells']['conv']['kernel'].shape[-1] == 4 * 8
  assert decoder['duc_scores']['cells']['conv']['kernel'].shape[-1] == 16 * 3
