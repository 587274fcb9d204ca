import importlib

import jax
import numpy as np
import pytest

from segjax import models
from segjax import optim

FIELDS = dict(
    backbone='resnet/tiny', features=8, num_bases=4, dropout=0.0, aux_level=''
)


@pytest.fixture(scope='module')
def model():
  return models.create('emanet', 5, **FIELDS)


@pytest.fixture
def image():
  return jax.random.normal(jax.random.key(0), (2, 33, 41, 3))


def test_the_convolution_before_the_bases_has_no_gradient(
    model, image, random_variables
):
  variables = random_variables(model, image.shape)

  def loss(params):
    out, _ = model.apply(
        {**variables, 'params': params},
        image,
        train=True,
        mutable=['batch_stats', 'moving'],
    )
    return (out['logits'] ** 2).sum()

  gradient = jax.jit(jax.grad(loss))(variables['params'])
  unit = gradient['unit']
  for value in jax.tree.leaves(unit.pop('project')):
    np.testing.assert_array_equal(value, 0)
  for value in jax.tree.leaves(gradient):
    assert np.abs(value).max() > 0


@pytest.mark.parametrize('arg', ['shapes', 'cityscapes', 'voc2012'])
def test_configs_leave_that_convolution_alone(model, image, arg):
  config = importlib.import_module('configs.emanet').get_config(arg)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  names = optim.by_name(params, lambda name: name)
  frozen = {
      name
      for name in jax.tree.leaves(names)
      if not optim.factor(config.optim, name)
  }
  assert frozen == {'unit/project/kernel', 'unit/project/bias'}


def test_training_moves_the_bases_and_evaluation_does_not(
    model, image, random_variables
):
  variables = random_variables(model, image.shape)
  old = variables['moving']['unit']['attention']['bases']
  for train in (True, False):
    _, changed = model.apply(
        variables, image, train=train, mutable=['batch_stats', 'moving']
    )
    new = changed['moving']['unit']['attention']['bases']
    assert new.shape == (FIELDS['features'], FIELDS['num_bases'])
    assert np.array_equal(old, new) != train


@pytest.mark.parametrize('join', [False, True])
def test_the_last_level_is_joined_where_it_is_asked_for(image, join):
  model = models.create('emanet', 5, **FIELDS, join=join)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  assert ('fuse' in variables['params']) == join
