import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.channel_attention import ChannelAttention


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
