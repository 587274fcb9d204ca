import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models

UNPADDED = {'padded': False, 'dropout': 0.0, 'aux_level': ''}


def logits(model, variables, image):
  return jax.jit(model.apply)(variables, image)['logits']


@pytest.mark.parametrize(
    ('size', 'left'), [(188, 4), (572, 388), (185, 1), (201, 17)]
)
def test_unpadded_convolutions_leave_the_image_less_the_margin(size, left):
  model = models.create('unet', 2, width=1, **UNPADDED)
  image = jax.ShapeDtypeStruct((1, size, 204, 1), np.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['logits'].shape == (1, left, 20, 2)
  assert (model.halo, models.create('unet', 2).halo) == (92, 0)


def test_an_image_of_the_margin_alone_is_refused():
  model = models.create('unet', 2, **UNPADDED)
  image = jax.ShapeDtypeStruct((1, 300, 184, 1), np.float32)
  with pytest.raises(ValueError, match='300 x 184 .* 92 pixels .* padded=True'):
    jax.eval_shape(model.init, jax.random.key(0), image)


def test_an_unpadded_network_with_an_auxiliary_head_is_refused():
  model = models.create('unet', 2, padded=False)
  image = jax.ShapeDtypeStruct((1, 188, 188, 1), np.float32)
  with pytest.raises(ValueError, match="set aux_level=''"):
    jax.eval_shape(model.init, jax.random.key(0), image)


@pytest.mark.parametrize(
    ('last_up', 'parameters'), [(0, 31_030_658), (128, 31_100_354)]
)
def test_parameters_are_those_of_the_paper_and_of_the_release(
    last_up, parameters
):
  model = models.create('unet', 2, last_up=last_up, **UNPADDED)
  image = jax.ShapeDtypeStruct((1, 188, 188, 1), np.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  assert sum(x.size for x in jax.tree.leaves(variables)) == parameters


def test_tiles_of_unpadded_convolutions_fit_without_a_seam(random_variables):
  model = models.create('unet', 3, width=2, **UNPADDED)
  variables = random_variables(model, (1, 188, 188, 1))
  image = jax.random.normal(jax.random.key(0), (1, 236, 252, 1))
  whole = logits(model, variables, image)
  # 16 pixels on, every pooling sees the same squares.
  for y, x in ((0, 0), (16, 48), (48, 32)):
    tile = logits(model, variables, image[:, y : y + 188, x : x + 204])
    np.testing.assert_allclose(
        tile, whole[:, y : y + 4, x : x + 20], rtol=1e-4, atol=1e-4
    )


def test_what_is_mirrored_to_fit_is_far_from_most_logits(random_variables):
  model = models.create('unet', 3, width=2, **UNPADDED)
  variables = random_variables(model, (1, 188, 188, 1))
  image = jax.random.normal(jax.random.key(0), (1, 220, 220, 1))
  whole = logits(model, variables, image)
  part = logits(model, variables, image[:, :211, :215])
  np.testing.assert_allclose(
      part[:, :16, :16], whole[:, :16, :16], rtol=1e-4, atol=1e-4
  )


def test_unpadded_convolutions_compute_in_the_type_they_are_given():
  model = models.create('unet', 2, **UNPADDED)
  image = jax.ShapeDtypeStruct((1, 200, 188, 1), jnp.bfloat16)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  variables = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), variables
  )
  out, collections = jax.eval_shape(
      functools.partial(
          model.apply, capture_intermediates=True, mutable=['intermediates']
      ),
      variables,
      image,
  )
  types = {x.dtype for x in jax.tree.leaves((out, collections))}
  assert types == {np.dtype(jnp.bfloat16)}


@pytest.mark.parametrize('size', [(32, 48), (33, 47)])
def test_a_narrow_network_scores_images_of_any_size(size):
  model = models.create('unet', 5, width=4, narrow=True, aux_level='')
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out == {
      'logits': jax.ShapeDtypeStruct((2, *size, 5), jnp.float32),
      'aux': {},
  }
  params = variables['params']
  for name, first, second in (
      ('down0', (3, 2), (2, 4)),
      ('down2', (8, 8), (8, 16)),
      ('middle', (64, 32), (32, 64)),
      ('up3', (64, 16), (16, 32)),
  ):
    for i, channels in ((1, first), (2, second)):
      kernel = params[f'{name}_conv{i}']['conv']['kernel']
      assert kernel.shape[2:] == channels


def test_a_narrow_network_has_no_auxiliary_head():
  model = models.create('unet', 5, narrow=True)
  with pytest.raises(ValueError, match="narrow=True .* aux_level=''"):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
