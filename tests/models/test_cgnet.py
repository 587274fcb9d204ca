import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import cgnet as configs
from segjax import models
from segjax.models import cgnet

CLASSES = 4


def create(**fields):
  small = {'depths': (2, 2), 'features': (4, 8, 12), 'reductions': (2, 4)}
  return models.create('cgnet', CLASSES, **small, **fields)


def draw_variables(module, *inputs):
  rng = np.random.default_rng(0)
  return jax.tree.map(
      lambda x: rng.uniform(0.2, 0.8, x.shape).astype(np.float32),
      jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs)),
  )


def test_stages_are_joined_in_the_order_of_the_paper():
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
  _, inner = jax.eval_shape(
      lambda x: create().init_with_output(
          jax.random.key(0), x, capture_intermediates=True
      ),
      image,
  )
  shapes = {
      name: inner['intermediates'][name]['__call__'][0].shape[1:]
      for name in ('join0', 'join1', 'join2')
  }
  assert shapes == {
      'join0': (33, 49, 4 + 3),
      'join1': (17, 25, 8 + 8 + 3),
      'join2': (9, 13, 12 + 12),
  }


def test_a_block_sees_itself_its_neighbours_and_its_surroundings():
  block = cgnet.ContextGuided(4, dilation=3, reduction=2)
  x = np.zeros((1, 9, 9, 4), np.float32)
  variables = draw_variables(block, x, False)
  # The gate does not depend on the image then.
  variables['params']['gate']['squeeze']['kernel'][:] = 0

  @jax.jit
  @jax.grad
  def gradient(x):
    return block.apply(variables, x, False)[0, 4, 4].sum()

  seen = np.argwhere(np.abs(gradient(x)[0]).max(-1)) - 4
  near = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
  expected = {*near, *((3 * i, 3 * j) for i, j in near)}
  assert {tuple(map(int, place)) for place in seen} == expected


@pytest.mark.parametrize('down', [False, True])
def test_a_block_adds_its_input_unless_it_halves_the_size(down):
  block = cgnet.ContextGuided(4, dilation=2, reduction=2, down=down)
  x = np.random.default_rng(1).normal(size=(1, 7, 8, 4)).astype(np.float32)
  variables = jax.tree.map(np.zeros_like, draw_variables(block, x, False))
  y = jax.jit(lambda x: block.apply(variables, x, False))(x)
  np.testing.assert_array_equal(y, np.zeros((1, 4, 4, 4)) if down else x)


@pytest.mark.parametrize('bias', [False, True])
def test_the_authors_classifier_has_no_bias(bias):
  image = jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)
  variables = jax.eval_shape(
      create(classifier_bias=bias).init, jax.random.key(0), image
  )
  assert ('bias' in variables['params']['classifier']) == bias


def test_the_recipe_is_that_of_the_authors():
  config = configs.get_config('cityscapes')
  assert abs(config.total_steps - 300 * 2975 / 16) < 100
  assert config.class_weights == 'inverse_log(offset=1.1)'
  assert 'random_crop(680)' in config.preprocess.train
