import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.models.dgcwnet import DistanceGuidedAttention
from segjax.models.dgcwnet import squared_distances

LAYER = DistanceGuidedAttention(4)


def draw(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@functools.cache
def draw_variables():
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(
      lambda: LAYER.init(jax.random.key(0), jnp.ones((1, 3, 4, 6)), False)
  )
  return jax.tree.map(
      lambda v: rng.uniform(0.5, 1.0, v.shape).astype(np.float32)
      * (1 if len(v.shape) == 1 else rng.choice([-1, 1], v.shape)),
      shapes,
  )


def test_distances_are_means_over_pairs_of_positions():
  x = draw(2, 3, 4, 5)
  values = x.reshape(2, 12, 5)
  pairs = np.square(values[:, :, None] - values[:, None])
  np.testing.assert_allclose(
      squared_distances(x), pairs.mean(2).reshape(x.shape), rtol=1e-5
  )


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_distances_of_values_far_from_zero_are_those_of_their_differences(
    dtype,
):
  x = np.round(draw(1, 3, 4, 5) * 8)
  far = squared_distances(dtype(x + 128))
  assert far.dtype == dtype
  np.testing.assert_allclose(
      far.astype(np.float32), squared_distances(x), rtol=5e-3
  )


def test_a_position_gathers_by_its_weighted_channels():
  x = draw(1, 3, 4, 6)
  variables = draw_variables()
  params, stats = variables['params'], variables['batch_stats']
  positions = x.reshape(12, 6)

  def dense(name, x):
    kernel, bias = params[name]['kernel'], params[name]['bias']
    return x @ kernel.reshape(kernel.shape[-2:]) + bias

  def norm(group, mean_var, x):
    x = x @ group['conv']['kernel'].reshape(x.shape[-1], -1)
    x = (x - mean_var['norm']['mean']) / np.sqrt(mean_var['norm']['var'] + 1e-5)
    return x * group['norm']['scale'] + group['norm']['bias']

  hidden = norm(
      params['weights']['reduce'],
      stats['weights']['reduce'],
      np.asarray(squared_distances(x)).reshape(12, 6),
  )
  expand = params['weights']['expand']
  weights = np.maximum(hidden, 0) @ expand['kernel'][0, 0] + expand['bias']
  weights = 1 / (1 + np.exp(-weights))
  scores = weights * dense('query', positions) @ dense('key', positions).T / 2
  share = np.exp(scores - scores.max(1, keepdims=True))
  share /= share.sum(1, keepdims=True)
  y = norm(
      params['project'], stats['project'], share @ dense('value', positions)
  )
  expected = np.maximum(positions + y, 0).reshape(x.shape)
  np.testing.assert_allclose(
      LAYER.apply(variables, x, False), expected, rtol=1e-4, atol=1e-5
  )
