import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import attention_unet


def arrays():
  rng = np.random.default_rng(0)
  skip = rng.normal(size=(1, 5, 7, 4)).astype(np.float32)
  coarse = rng.normal(size=(1, 3, 4, 6)).astype(np.float32)
  return skip, coarse


def test_weights_of_the_grid_are_made_at_half_the_size_of_the_skip():
  skip, coarse = arrays()
  gate = attention_unet.GridWeights(3)
  weights, variables = gate.init_with_output(jax.random.key(0), skip, coarse)
  assert weights.shape == (1, 5, 7, 1)
  assert variables['params']['skip']['kernel'].shape == (2, 2, 4, 3)
  assert 0 < weights.min() < weights.max() < 1
  # A pixel of the skip changes the weights between the centre of its 2x2 cell
  # and those of the next ones alone.
  other = skip.copy()
  other[0, 0, 0] += 5
  changed = gate.apply(variables, other, coarse) != weights
  assert changed[0, :2, :2].any()
  assert not changed[0, 4:].any()
  assert not changed[0, :, 4:].any()


def test_a_gate_that_is_shut_lets_nothing_of_the_skip_through():
  skip, _ = arrays()
  gate = attention_unet.AdditiveGate(3)
  gating = skip[..., :2]
  variables = gate.init(jax.random.key(0), skip, gating, False)
  norm = variables['params']['weights']['norm']
  assert norm['bias'].shape == (1,)  # One weight for all channels.
  for bias, expected in ((-100, 0 * skip), (100, skip)):
    norm['bias'] = np.float32([bias])
    y = gate.apply(variables, skip, gating, False)
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize(('gate', 'gated'), [('additive', 4), ('grid', 3)])
def test_the_authors_leave_the_finest_skip_as_it_is(gate, gated):
  model = models.create('attention_unet', 3, width=2, gate=gate)
  image = jax.ShapeDtypeStruct((1, 33, 49, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (1, 33, 49, 3)
  names = sorted(x for x in variables['params'] if x.startswith('gate'))
  assert names == [f'gate{i}' for i in range(4 - gated, 4)]
  # Decoder features come after the skip: both have the skip's channels.
  kernel = variables['params']['up3']['conv1']['conv']['kernel']
  assert kernel.shape == (3, 3, 16 + 16, 16)


def test_other_gates_are_refused():
  model = models.create('attention_unet', 3, gate='spatial')
  with pytest.raises(ValueError, match="'spatial'. Known: additive, grid"):
    jax.eval_shape(
        model.init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32),
    )
