import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.adapnet import Block
from segjax.models.adapnet import NormActConv


@pytest.mark.parametrize('size', [(32, 48), (33, 47)])
def test_logits_have_the_size_of_any_image(size):
  model = models.create('adapnet', 5, width=4)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['logits'].shape == (2, *size, 5)


def test_strided_convolutions_of_even_sides_pad_more_at_the_end():
  layer = NormActConv(1, 7, stride=2)
  x = jnp.zeros((1, 8, 8, 1)).at[0, 0, 7, 0].set(1.0)
  variables = layer.init(jax.random.key(0), x, False)
  variables['params']['conv']['kernel'] = jnp.arange(49.0).reshape(7, 7, 1, 1)
  y = layer.apply(variables, x, False)[0, :, :, 0] * np.sqrt(1 + 1e-3)
  expected = np.zeros((4, 4))
  # Output i reads inputs 2 i - 2 to 2 i + 4.
  for i in range(2):
    for j in range(2, 4):
      expected[i, j] = 7 * (2 - 2 * i) + 7 - (2 * j - 2)
  np.testing.assert_allclose(y, expected, rtol=1e-5)


@pytest.mark.parametrize('rates', [(), (1, 3)])
def test_a_block_reaches_as_far_as_its_largest_rate(rates):
  block = Block(2, rates=rates, inner=4)
  x = 1 + jax.random.uniform(jax.random.key(0), (1, 9, 9, 8))
  variables = jax.tree.map(
      lambda v: jnp.full(v.shape, 0.1),
      jax.eval_shape(lambda: block.init(jax.random.key(1), x, False)),
  )
  assert 'shortcut' not in variables['params']

  def center(x):
    return block.apply(variables, x, False)[0, 4, 4].sum()

  rows, _ = np.nonzero(np.abs(jax.grad(center)(x)[0]).sum(-1))
  reach = max(rates, default=1)
  assert (rows.min(), rows.max()) == (4 - reach, 4 + reach)


def test_a_pre_activated_projection_stands_where_channels_or_size_change():
  x = jax.ShapeDtypeStruct((1, 8, 8, 8), jnp.float32)
  for block, names in (
      (Block(2), set()),
      (Block(2, stride=2), {'shortcut'}),
      (Block(3), {'shortcut'}),
  ):
    variables = jax.eval_shape(
        lambda x, block=block: block.init(jax.random.key(0), x, False), x
    )
    assert set(variables['params']) - {'conv1', 'conv2', 'conv3'} == names
