import functools

from flax import linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.encoder_decoder import EncoderDecoder


class Named(nn.Module):
  """Stands for a convolution: returns ones, and records what it was called."""

  features: int
  factor: int = 1

  @nn.compact
  def __call__(self, x, train):
    self.sow('calls', 'shape', (x.shape[1], self.features))
    height, width = (self.factor * side for side in x.shape[1:3])
    return jnp.ones((len(x), height, width, self.features))


@pytest.mark.parametrize('skip', [False, True])
def test_the_decoder_mirrors_the_encoder(skip):
  net = EncoderDecoder(
      Named, functools.partial(Named, factor=2), width=4, skip=skip
  )
  x, calls = net.apply({}, jnp.ones((1, 33, 47, 3)), False, mutable=['calls'])
  assert x.shape == (1, 33, 47, 4)
  np.testing.assert_array_equal(x, 1.0)
  calls = {k: v['shape'][0] for k, v in calls['calls'].items()}
  assert len(calls) == 13 + 13 + 5
  # 33 rows have become 64; (rows that it reads, channels that it makes).
  assert [calls[f'down{i}_1'] for i in range(1, 6)] == [
      (64, 4),
      (32, 8),
      (16, 16),
      (8, 32),
      (4, 32),
  ]
  assert [calls[f'up{i}'] for i in range(5, 0, -1)] == [
      (2, 32),
      (4, 32),
      (8, 16),
      (16, 8),
      (32, 4),
  ]
  assert calls['up3_2'], calls['up3_3'] == ((16, 16), (16, 8))


def test_skips_are_what_leaves_the_pools():
  net = EncoderDecoder(
      Named, functools.partial(Named, factor=2), width=4, skip=True
  )
  seen = {}

  def record(call, args, kwargs, context):
    if context.module.name in ('up4', 'up1', 'up5'):
      seen[context.module.name] = float(args[0].mean())
    return call(*args, **kwargs)

  with nn.intercept_methods(record):
    net.apply({}, jnp.ones((1, 32, 32, 3)), False, mutable=['calls'])
  # Each is a sum of ones from the decoder and ones from a pool.
  assert seen == {'up5': 1.0, 'up4': 2.0, 'up1': 2.0}
