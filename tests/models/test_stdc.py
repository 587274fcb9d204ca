import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import stdc
from segjax.ops.detail import detail_loss

NARROW = dict(backbone='stdc/tiny', features=8, aux_features=4)


@pytest.mark.parametrize('channels', [1, 2])
def test_the_detail_head_scores_outlines_at_the_size_of_the_image(channels):
  model = models.create('stdc', 5, **NARROW, detail_channels=channels)
  image = jax.ShapeDtypeStruct((2, 33, 41, 3), jnp.float32)
  out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
  assert out['detail'].shape == (2, 33, 41, channels)


def test_without_channels_there_are_no_heads_but_the_main_one():
  model = models.create('stdc', 5, **{**NARROW, 'aux_features': 0})
  image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['aux'] == {}
  assert 'detail' not in out
  assert not {'detail', 'aux_c3', 'aux_c4'} & set(variables['params'])


def test_the_detail_losses_are_added_with_their_factor():
  rng = np.random.default_rng(0)
  detail = rng.normal(size=(2, 7, 9, 2)).astype(np.float32)
  batch = {'label': rng.integers(0, 3, (2, 7, 9)).astype(np.uint8)}
  entropy, dice = detail_loss(detail, batch['label'])

  def base(out, batch, rng):
    del out, batch, rng
    return 3.0, {'cross_entropy': 3.0}

  key = jax.random.key(0)
  for weight in (1.0, 0.5):
    total, parts = stdc.loss(
        {'detail': detail}, batch, key, base=base, detail_weight=weight
    )
    np.testing.assert_allclose(total, 3 + weight * (entropy + dice), rtol=1e-6)
    assert parts['detail_cross_entropy'] == entropy
    assert parts['detail_dice'] == dice
  assert stdc.loss({}, batch, key, base=base) == (3.0, {'cross_entropy': 3.0})
