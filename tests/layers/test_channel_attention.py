import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.channel_attention import SCSE
from segjax.layers.channel_attention import ChannelAttention
from segjax.layers.channel_attention import Excitation


def test_weights_are_convolved_from_the_means_of_neighbouring_channels():
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
  kernel = np.float32([0.5, -1.0, 2.0])
  variables = {'params': {'conv': {'kernel': kernel[:, None, None]}}}
  y = ChannelAttention().apply(variables, x)
  for b, c in np.ndindex(2, 5):
    means = [0.0, *x[b].mean((0, 1)), 0.0]
    score = np.dot(kernel, means[c : c + 3])
    np.testing.assert_allclose(
        y[b, ..., c], x[b, ..., c] / (1 + np.exp(-score)), rtol=1e-5
    )


def test_there_are_as_many_weights_however_many_channels():
  for channels in (4, 64):
    x = jnp.ones((1, 2, 2, channels))
    params = jax.eval_shape(ChannelAttention().init, jax.random.key(0), x)
    assert params['params']['conv']['kernel'].shape == (3, 1, 1)


def draw(module, x):
  """Variables of a module, none of them zero."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
      lambda v: rng.normal(size=v.shape).astype(np.float32),
      jax.eval_shape(module.init, jax.random.key(0), x),
  )


def excitation(x, layers):
  """Weights [B, 1, 1, C] by NumPy."""
  hidden = x.mean((1, 2)) @ layers['squeeze']['kernel'][0, 0]
  hidden = np.maximum(hidden + layers['squeeze']['bias'], 0)
  score = hidden @ layers['excite']['kernel'][0, 0] + layers['excite']['bias']
  return 1 / (1 + np.exp(-score))[:, None, None]


def test_an_excitation_weighs_channels_by_the_means_of_all():
  x = np.random.default_rng(1).normal(size=(2, 3, 5, 4)).astype(np.float32)
  module = Excitation(reduction=2)
  variables = draw(module, x)
  expected = excitation(x, variables['params'])
  np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ('combine', 'operation'), [('sum', np.add), ('max', np.maximum)]
)
def test_scse_combines_weighted_channels_and_weighted_places(
    combine, operation
):
  x = np.random.default_rng(1).normal(size=(2, 3, 5, 4)).astype(np.float32)
  module = SCSE(combine, reduction=8)  # At least one channel is left.
  variables = draw(module, x)
  layers = variables['params']
  score = x @ layers['places']['kernel'][0, 0] + layers['places']['bias']
  expected = operation(
      x * excitation(x, layers['channels']), x / (1 + np.exp(-score))
  )
  np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-5)


def test_other_combinations_of_scse_are_refused():
  x = jnp.ones((1, 2, 2, 4))
  with pytest.raises(ValueError, match="'mean'. Known: sum, max"):
    SCSE('mean').init(jax.random.key(0), x)
