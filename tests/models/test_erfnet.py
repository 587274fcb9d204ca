import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.erfnet import Downsampler
from segjax.models.erfnet import NonBottleneck

NARROW = dict(widths=(4, 8, 12), depth=1, dilations=(2,), head_features=4)


@pytest.mark.parametrize(
    ('size', 'head_features'), [((33, 49), 4), ((8, 16), 4), ((32, 48), 0)]
)
def test_logits_have_the_size_of_the_image(size, head_features):
  fields = {**NARROW, 'head_features': head_features}
  model = models.create('erfnet', 5, **fields)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (2, *size, 5)
  assert ('conv' in variables['params']) == bool(head_features)
  assert model.multiple == (1 if head_features else 8)


def test_the_columns_and_rows_of_a_block_dilate_the_second_time():
  block = NonBottleneck(dilation=3)
  # Far enough from zero that no ReLU is off.
  x = 10 + jax.random.normal(jax.random.key(0), (1, 21, 21, 2))
  variables = jax.tree.map(
      lambda v: jnp.full(v.shape, 0.1),
      jax.eval_shape(lambda: block.init(jax.random.key(1), x, False)),
  )

  def center(x):
    return block.apply(variables, x, False)[0, 10, 10].sum()

  reached = np.abs(jax.grad(center)(x)[0]).sum(-1) > 0
  rows, columns = np.nonzero(reached)
  # 1 and 3 pixels to each side.
  np.testing.assert_array_equal(np.unique(rows), np.arange(6, 15))
  np.testing.assert_array_equal(np.unique(columns), np.arange(6, 15))


def test_pooling_of_odd_sides_is_enlarged_to_the_convolution():
  layer = Downsampler(8)
  x = jnp.full((1, 5, 7, 3), 2.0)
  y, _ = layer.init_with_output(jax.random.key(0), x, False)
  assert y.shape == (1, 3, 4, 8)
  np.testing.assert_allclose(y[..., 5:], 2 / np.sqrt(1 + 1e-3), rtol=1e-6)


@pytest.mark.parametrize('whole_channels', [False, True])
def test_whole_channels_are_dropped_if_it_is_asked_for(whole_channels):
  block = NonBottleneck(dropout=0.5, drop_channels=whole_channels)
  x = jax.random.uniform(jax.random.key(0), (1, 6, 6, 8), minval=5.0)
  variables = block.init(jax.random.key(1), x, False)
  # Branch of ones, so that the output is the input, or 2 more where it is kept.
  variables['params']['norm2'] = {'scale': jnp.zeros(8), 'bias': jnp.ones(8)}
  y, _ = block.apply(
      variables,
      x,
      True,
      rngs={'dropout': jax.random.key(2)},
      mutable=['batch_stats'],
  )
  kept = np.asarray(y - x > 1)
  assert kept.any()
  assert not kept.all()
  alike = (kept == kept[:, :1, :1]).all()
  assert alike == whole_channels
