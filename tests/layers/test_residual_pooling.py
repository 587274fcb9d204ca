import jax
import numpy as np

from segjax.layers.residual_pooling import ChainedResidualPooling
from segjax.layers.residual_pooling import ResidualConvUnits


def draw(layer, x):
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
  return jax.tree.map(
      lambda v: rng.normal(size=v.shape).astype(np.float32), shapes
  )


def make_features(channels):
  rng = np.random.default_rng(1)
  return rng.normal(size=(1, 6, 7, channels)).astype(np.float32)


def test_a_chain_adds_every_link_and_hands_it_on():
  layer = ChainedResidualPooling(kernel=1, depth=3)
  x = make_features(2) - 4  # Negative: padding is not the largest value.
  variables = draw(layer, x)
  link, total = x[0], x[0].copy()
  for i in (1, 2, 3):
    padded = np.pad(link, ((2, 2), (2, 2), (0, 0)), constant_values=-np.inf)
    pooled = np.empty_like(link)
    for row, column in np.ndindex(6, 7):
      pooled[row, column] = padded[row : row + 5, column : column + 5].max(
          (0, 1)
      )
    link = pooled @ variables['params'][f'conv{i}']['kernel'][0, 0]
    total += link
  np.testing.assert_allclose(
      layer.apply(variables, x)[0], total, rtol=1e-4, atol=1e-4
  )


def test_units_add_to_features_of_either_sign():
  layer = ResidualConvUnits(depth=1)
  x = make_features(2)
  variables = draw(layer, x)
  params = variables['params']
  assert 'bias' in params['unit1_conv1']
  assert 'bias' not in params['unit1_conv2']
  # The convolutions hand on the centre: what is added is a ReLU of x + bias.
  for conv in params.values():
    conv['kernel'][:] = 0
    conv['kernel'][1, 1] = np.eye(2)
  expected = x + np.maximum(np.maximum(x, 0) + params['unit1_conv1']['bias'], 0)
  np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-6)
