import contextlib

import jax
import numpy as np
import pytest

from configs import common
from configs import deeplabv3
from configs import unet
from segjax import experiment
from segjax.data.datasets import shapes


def configure(crop):
  config = unet.get_config()
  config.dataset.options = dict(size=(32, 48), length=4, difficulty=0.0)
  config.model.update(width=1, padded=False, aux_level='')
  config.preprocess.train = f'flip|{crop}|normalize'
  config.batch_size = 8
  return config


@pytest.mark.parametrize(('crop', 'given'), [('', 0), (', halo=90', 90)])
def test_context_that_is_not_the_margin_is_answered_with_the_crop(crop, given):
  with pytest.raises(
      ValueError,
      match=rf'unet loses 92 .* a halo of {given}: write random_crop\(28, 36, '
      r'halo=92\)',
  ):
    experiment.training(configure(f'random_crop(28, 36{crop})'))


@pytest.mark.parametrize('more', ['', '|border_weights'])
def test_batches_have_the_shapes_that_the_step_is_compiled_for(more):
  config = configure(f'random_crop(28, 36, halo=92){more}')
  setup = experiment.training(config)
  batches = setup.batches(0)
  batch = next(batches)
  batches.close()
  assert setup.batch == jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch
  )
  state = jax.eval_shape(setup.init)
  _, scalars = jax.eval_shape(setup.step, state, batch)
  assert scalars['loss'].shape == ()


def test_sizes_in_turn_come_as_they_are_compiled_for_and_the_largest_counts():
  config = configure('')
  config.model.padded = True
  config.dataset.options.length = config.batch_size  # A step is a pass.
  config.preprocess.train = 'in_turn(resize(16), resize(32, 48))|normalize'
  setup = experiment.training(config)
  assert setup.batch['label'].shape == (8, 32, 48)
  with contextlib.closing(setup.batches(0)) as batches:
    sizes = [next(batches)['label'].shape[1:] for _ in range(4)]
  assert sizes == 2 * [(16, 16), (32, 48)]
  with contextlib.closing(setup.batches(3)) as batches:
    assert next(batches)['image'].shape == (8, 32, 48, 3)


def test_each_size_in_turn_has_to_suit_the_model():
  config = configure('')
  config.preprocess.train = (
      'in_turn(random_crop(28, 36, halo=92), random_crop(44, halo=90))'
      '|normalize'
  )
  with pytest.raises(ValueError, match=r'random_crop\(44, 44, halo=92\)'):
    experiment.training(config)


def options(config):
  return experiment.inference(
      config, experiment.system(config, shapes.LABEL_MAP)
  )


def test_prediction_knows_the_margin_of_the_model():
  config = configure('random_crop(28, 36, halo=92)')
  assert options(config).halo == 92
  config.model.padded = True
  assert options(config).halo == 0


def test_auxiliary_heads_may_have_factors_of_their_own():
  config = deeplabv3.get_config()
  config.aux_weight = 0.4
  heads = common.base('shapes', small=True, aux_weight={'c4': 0.25})
  logits = np.random.default_rng(0).normal(size=(1, 4, 4, 8))
  out = {'logits': logits, 'aux': {'c4': 2 * logits}}
  batch = {'label': np.ones((1, 4, 4), np.uint8)}
  for aux_weight, factor in ((0.4, 0.4), (heads.aux_weight, 0.25)):
    with config.ignore_type():
      config.aux_weight = aux_weight
    built = experiment.system(config, shapes.LABEL_MAP)
    total, parts = built.loss(out, batch, None)
    expected = parts['cross_entropy'] + factor * parts['aux_c4']
    np.testing.assert_allclose(total, expected, rtol=1e-6)
