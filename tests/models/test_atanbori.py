import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import atanbori as configs
from segjax import models
from segjax.models import atanbori
from segjax.ops.pixel_shuffle import depth_to_space

CLASSES = 4


def traced(size=(33, 49), **fields):
  """Outputs and variables of a narrow network, as shapes."""
  model = models.create('atanbori', CLASSES, width=8, **fields)
  return jax.eval_shape(
      lambda x: model.init_with_output(
          jax.random.key(0), x, capture_intermediates=True
      ),
      jax.ShapeDtypeStruct((1, *size, 3), jnp.float32),
  )


@pytest.mark.parametrize('decoder', atanbori.DECODERS)
@pytest.mark.parametrize('size', [(48, 64), (47, 61)])
def test_scores_cover_the_image_beyond_multiples_of_8(decoder, size):
  out, variables = traced(size, decoder=decoder)
  assert out['logits'].shape == (1, *size, CLASSES)
  scores = variables['intermediates']['classifier']['__call__'][0]
  assert scores.shape == (1, *(8 * (side // 8) for side in size), CLASSES)


@pytest.mark.parametrize('decoder', atanbori.DECODERS)
@pytest.mark.parametrize('separable', [False, True])
def test_all_convolutions_are_separable_but_the_first_of_two(
    decoder, separable
):
  params = traced(decoder=decoder, separable=separable)[1]['params']
  units = {name: set(params[name]) for name in params if 'code' in name}
  plain = {name for name, parts in units.items() if 'conv' in parts}
  if not separable:
    assert plain == set(units)
  else:
    assert plain == (set() if decoder == 'subpixel' else {'encode1_1'})
  assert len(units) == (20 if decoder == 'segnet' else 10)


def test_channels_are_spread_by_rows_then_columns():
  x = np.arange(2 * 3 * 12, dtype=np.float32).reshape(1, 2, 3, 12)
  y = np.asarray(depth_to_space(x, 2))
  assert y.shape == (1, 4, 6, 3)
  for row, column in np.ndindex(4, 6):
    first = 3 * (2 * (row % 2) + column % 2)
    np.testing.assert_array_equal(
        y[0, row, column], x[0, row // 2, column // 2, first : first + 3]
    )


def test_an_unknown_decoder_is_refused_with_the_names():
  with pytest.raises(ValueError, match="'unet' is not one of fcn, segnet"):
    traced(decoder='unet')


def test_the_last_scores_repeat_beyond_multiples_of_8():
  x = np.random.default_rng(0).normal(size=(1, 8, 16, 2))
  y = np.asarray(atanbori.extend(x, (10, 17)))[0]
  np.testing.assert_array_equal(y[:8, :16], x[0].astype(np.float32))
  np.testing.assert_array_equal(y[8:], np.stack([y[7]] * 2))
  np.testing.assert_array_equal(y[:, 16], y[:, 15])


def test_the_recipe_is_200_epochs_of_camvid():
  config = configs.get_config('camvid,decoder=segnet')
  assert config.total_steps == 200 * 367 // 6 // 100 * 100
  assert config.model.decoder == 'segnet'
  assert config.total_steps // config.eval_every == 200
