import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.enet import Bottleneck

NARROW = dict(widths=(8, 8, 16), depth=1, dilations=(1, 0), stages=1)


@pytest.mark.parametrize('size', [(32, 48), (33, 49), (37, 46), (9, 7)])
def test_logits_have_the_size_of_any_image(size):
  model = models.create('enet', 5, **NARROW)
  image = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['logits'].shape == (2, *size, 5)


def test_the_shortcut_of_down_is_pooling_with_zeros_behind():
  block = Bottleneck(6, 'down')
  x = jax.random.normal(jax.random.key(0), (1, 4, 6, 4)) ** 2
  variables = block.init(jax.random.key(1), x, False)
  norm = variables['params']['norm3']
  variables['params']['norm3'] = jax.tree.map(jnp.zeros_like, norm)
  y, positions = block.apply(variables, x, False)
  pooled = np.asarray(x).reshape(1, 2, 2, 3, 2, 4).max((2, 4))
  np.testing.assert_allclose(y[..., :4], pooled, rtol=1e-6)
  np.testing.assert_array_equal(y[..., 4:], 0)
  assert positions.shape == pooled.shape


def test_the_shortcut_of_up_puts_values_where_the_maxima_were():
  size = 5, 6
  block = Bottleneck(2, 'up', relu=True, size=size)
  x = 1 + jax.random.uniform(jax.random.key(0), (1, 3, 3, 4))
  positions = np.full((1, 3, 3, 2), 2, np.uint8)  # Below, at the left.
  positions[:, 2] = 1  # Of the last row, which has no pixel below.
  variables = block.init(jax.random.key(1), x, False, positions)
  params = variables['params']
  params['norm3'] = jax.tree.map(jnp.zeros_like, params['norm3'])
  params['shortcut']['kernel'] = jnp.ones((1, 1, 4, 2))
  y = block.apply(variables, x, False, positions)[0]
  assert y.shape == (*size, 2)
  expected = np.zeros(size, np.float32)
  values = np.asarray(x[0].sum(-1)) / np.sqrt(1 + 1e-5)
  expected[1:5:2, ::2] = values[:2]
  expected[4, 1::2] = values[2]
  np.testing.assert_allclose(y, np.stack([expected] * 2, -1), rtol=1e-5)


@pytest.mark.parametrize(('dilation', 'reach'), [(1, 1), (4, 4), (0, 2)])
def test_a_block_reaches_as_far_as_its_convolution(dilation, reach):
  block = Bottleneck(4, dilation=dilation)
  x = 1 + jax.random.uniform(jax.random.key(0), (1, 11, 11, 4))
  variables = jax.tree.map(
      lambda v: jnp.full(v.shape, 0.1),
      jax.eval_shape(lambda: block.init(jax.random.key(1), x, False)),
  )

  def center(x):
    return block.apply(variables, x, False)[0, 5, 5].sum()

  rows, columns = np.nonzero(np.abs(jax.grad(center)(x)[0]).sum(-1))
  for places in (rows, columns):
    assert (places.min(), places.max()) == (5 - reach, 5 + reach)
