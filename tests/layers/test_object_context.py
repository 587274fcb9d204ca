import functools

import jax
import numpy as np

from segjax.layers.object_context import ObjectContext
from segjax.layers.object_context import object_regions


def draw():
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (2, 3, 5, 4))
  return x, 2 * jax.random.normal(keys[1], (2, 3, 5, 3))


LAYER = ObjectContext(features=6, key_features=4)


@functools.cache
def variables():
  init = jax.jit(LAYER.init, static_argnums=3)
  return init(jax.random.key(1), *draw(), False)


@jax.jit
def apply(variables, x, scores):
  return LAYER.apply(variables, x, scores, False, capture_intermediates=True)


def test_a_region_is_the_mean_of_the_pixels_that_score_for_its_class():
  x, scores = draw()
  regions = object_regions(x, scores)
  for image, score, region in zip(x, scores, regions, strict=True):
    for k in range(3):
      weights = np.exp(np.float64(score[..., k]))
      mean = (weights[..., None] * image).sum((0, 1)) / weights.sum()
      np.testing.assert_allclose(region[k], mean, rtol=1e-5, atol=1e-6)


def test_pixels_gather_from_regions_by_scaled_products():
  x, scores = draw()
  y, captured = apply(variables(), x, scores)
  params = variables()['params']

  def convolve(x, *path):
    node = params
    for key in path:
      node = node[key]
    return jax.nn.relu(x @ node['conv']['kernel'][0, 0] / np.sqrt(1 + 1e-5))

  def project(x, name, depth):
    for i in range(depth):
      x = convolve(x, 'attention', name, f'conv{i}')
    return x

  (pixels,) = captured['intermediates']['pixels']['__call__']
  regions = object_regions(pixels, scores)
  query, key = project(pixels, 'query', 2), project(regions, 'key', 2)
  weights = jax.nn.softmax(np.einsum('bhwd,bkd->bhwk', query, key) / 2)
  context = np.einsum('bhwk,bkv->bhwv', weights, project(regions, 'value', 1))
  joined = np.concatenate([convolve(context, 'project'), pixels], -1)
  np.testing.assert_allclose(y, convolve(joined, 'fuse'), rtol=1e-4, atol=1e-5)


def test_coarse_scores_learn_from_what_is_gathered():
  x, scores = draw()
  weights = variables()

  def total(scores):
    return LAYER.apply(weights, x, scores, False).sum()

  gradient = jax.jit(jax.grad(total))(scores)
  assert (np.abs(gradient).max((1, 2)) > 1e-6).all()
