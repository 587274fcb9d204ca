import importlib

import jax
from jax.extend import core
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import optim
from segjax import steps

BACKBONE = (
    'vit/dinov2_small(width=8, depth=3, heads=2, patch=7, image_size=(28, 42))'
)
IMAGE = jax.ShapeDtypeStruct((2, 28, 42, 3), jnp.float32)


def create(**fields):
  return models.create('dinov2_linear', 4, backbone=BACKBONE, **fields)


def products(function, *arguments):
  """The number of products of matrices that a function computes."""

  def count(jaxpr):
    total = 0
    for equation in jaxpr.eqns:
      total += equation.primitive.name == 'dot_general'
      for inner in core.jaxprs_in_params(equation.params):
        total += count(inner)
    return total

  return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_what_is_frozen_is_not_differentiated():
  config = importlib.import_module('configs.dinov2_linear').get_config('ade20k')
  model = create()
  variables = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
  params, rest = variables['params'], {'batch_stats': variables['batch_stats']}

  def loss(params, image, factors):
    still = jax.lax.stop_gradient(params)
    params = steps.choose(
        lambda name: optim.factor(factors, name) == 0, still, params
    )
    out, _ = model.apply(
        {'params': params, **rest}, image, train=True, mutable=['batch_stats']
    )
    return out['logits'].sum()

  def gradient(factors):
    return lambda params, image: jax.grad(loss)(params, image, factors)

  rest = jax.tree.map(lambda x: jnp.zeros(x.shape), rest)
  forward = products(lambda *x: loss(*x, ()), params, IMAGE)
  frozen = products(gradient(config.optim.factors), params, IMAGE)
  # Six products are in each block; a gradient takes two for each at most.
  blocks = 6 * 3
  assert frozen <= forward + 2 * (forward - blocks)
  assert products(gradient(()), params, IMAGE) >= forward + 2 * blocks


def test_blocks_are_joined_each_after_the_final_norm():
  model = create(taps=(0, 2))
  variables = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
  assert variables['classifier']['kernel'].shape == (1, 1, 16, 4)
  assert variables['backbone']['norm']['scale'].shape == (8,)


def test_an_image_is_where_it_is_without_what_its_last_patches_are_padded_by(
    random_variables,
):
  model = create()
  variables = random_variables(model, (1, 28, 42, 3))
  image = np.random.default_rng(0).normal(size=(1, 25, 37, 3))
  padded = np.pad(image, ((0, 0), (0, 3), (0, 5), (0, 0)))
  apply = jax.jit(model.apply)
  np.testing.assert_array_equal(
      apply(variables, image)['logits'],
      apply(variables, padded)['logits'][:, :25, :37],
  )


@pytest.mark.parametrize('size', ['small', 'giant'])
def test_with_several_scales_the_last_four_blocks_are_read(size):
  config = importlib.import_module('configs.dinov2_linear').get_config(
      f'ade20k,size={size},multi=True'
  )
  model = models.create('dinov2_linear', 4, **config.model)
  image = jax.ShapeDtypeStruct((1, 28, 28, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  depth = sum(name.startswith('block') for name in params['backbone'])
  assert config.model.taps == tuple(range(depth - 4, depth))
