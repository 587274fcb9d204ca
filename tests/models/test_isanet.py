import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.models.isanet import InterlacedAttention
from segjax.models.isanet import SelfAttention

CHANNELS, BLOCK = 4, 3
LAYER = InterlacedAttention(CHANNELS, BLOCK)


@functools.cache
def draw_variables():
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(
      lambda: LAYER.init(jax.random.key(0), jnp.ones((1, 6, 9, CHANNELS)), True)
  )
  return jax.tree.map(
      lambda v: rng.uniform(0.5, 1.5, v.shape).astype(np.float32)
      * (1 if len(v.shape) == 1 else rng.choice([-1, 1], v.shape)),
      shapes,
  )


@functools.partial(jax.jit, static_argnums=0)
def attend(name, variables, x):
  """Self-attention of one of the two steps, within a single group [H, W, C]."""
  step = {key: value[name] for key, value in variables.items()}
  return SelfAttention(CHANNELS).apply(step, x[None], False)[0]


# Whole blocks, and padding that is even, and more behind than in front.
@pytest.mark.parametrize('size', [(6, 9), (4, 8)])
def test_it_equals_attention_group_by_group(size):
  x = np.asarray(jax.random.normal(jax.random.key(0), (2, *size, CHANNELS)))
  variables = draw_variables()
  results = jax.jit(lambda x: LAYER.apply(variables, x, False))(x)
  rows, columns = (-(-side // BLOCK) * BLOCK for side in size)
  top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
  inner = slice(top, top + size[0]), slice(left, left + size[1])

  for image, result in zip(x, results, strict=True):
    y = np.zeros((rows, columns, CHANNELS), np.float32)
    y[inner] = image
    for i, j in np.ndindex(BLOCK, BLOCK):
      group = np.s_[i::BLOCK, j::BLOCK]
      y[group] = attend('distant', variables, y[group])
    for i, j in np.ndindex(rows // BLOCK, columns // BLOCK):
      group = np.s_[BLOCK * i :, BLOCK * j :]
      y[group][:BLOCK, :BLOCK] = attend(
          'local', variables, y[group][:BLOCK, :BLOCK]
      )
    np.testing.assert_allclose(result, y[inner], rtol=1e-4, atol=1e-5)


def test_every_position_reaches_every_other():
  x = jax.random.uniform(jax.random.key(0), (1, 6, 9, CHANNELS))
  # No ReLU is off, and no softmax is all but one of its weights.
  variables = jax.tree.map(lambda v: 0.2 * np.abs(v), draw_variables())

  @jax.jit
  @jax.grad
  def gradient(x):
    return LAYER.apply(variables, x, False)[0, 0, 0].sum()

  assert (jnp.abs(gradient(x)).max(-1) > 0).all()
