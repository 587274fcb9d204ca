import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers.attention import ResidualAttention
from segjax.layers.attention import attend_everywhere
from segjax.ops.criss_cross import criss_cross_attention

CROSS = ResidualAttention(3, criss_cross_attention)
EVERYWHERE = ResidualAttention(3, attend_everywhere)
IMAGE = np.random.default_rng(0).uniform(size=(1, 4, 5, 6)).astype(np.float32)


@functools.cache
def draw_variables():
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(CROSS.init, jax.random.key(0), IMAGE)
  # Small and positive: no softmax is all but one of its weights.
  return jax.tree.map(
      lambda v: rng.uniform(0.1, 0.5, v.shape).astype(np.float32), shapes
  )


@pytest.mark.parametrize(
    ('recurrence', 'reached'), [(1, 4 + 5 - 1), (2, 4 * 5)]
)
def test_the_second_recurrence_reaches_every_position(recurrence, reached):
  def corner(x):
    for _ in range(recurrence):
      x = CROSS.apply(draw_variables(), x)
    return x[0, 0, 0].sum()

  reads = jnp.abs(jax.grad(corner)(IMAGE)[0]).max(-1) > 0
  assert reads.sum() == reached
  assert reads[0].all()
  assert reads[:, 0].all()


@pytest.mark.parametrize('layer', [CROSS, EVERYWHERE])
def test_an_attention_starts_as_the_identity(layer):
  y, variables = layer.init_with_output(jax.random.key(0), IMAGE)
  assert variables['params']['gamma'] == 0
  np.testing.assert_array_equal(y, IMAGE)


def test_gamma_multiplies_what_is_gathered():
  params = draw_variables()['params']
  gathered = [
      EVERYWHERE.apply({'params': {**params, 'gamma': gamma}}, IMAGE) - IMAGE
      for gamma in np.float32([1, 3])
  ]
  np.testing.assert_allclose(3 * gathered[0], gathered[1], rtol=1e-4)
  assert np.abs(gathered[0]).min() > 0


def test_recurrences_share_their_weights():
  image = jax.ShapeDtypeStruct((1, 33, 41, 3), jnp.float32)
  once, twice = (
      jax.eval_shape(
          models.create(
              'ccnet',
              4,
              backbone='resnet/tiny',
              features=8,
              recurrence=recurrence,
          ).init,
          jax.random.key(0),
          image,
      )
      for recurrence in (1, 2)
  )
  assert once == twice
