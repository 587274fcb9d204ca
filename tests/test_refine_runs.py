"""Runs of a few steps that refine each other, from training to a prediction."""

import importlib

import numpy as np
import pytest

from segjax import predict
from segjax import train
from segjax.artifacts.workdir import Workdir
from segjax.data.datasets import shapes
from tests import tiny

pytestmark = pytest.mark.slow

SIZE = 32, 48


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """A function: the folder of a run of two steps of a system."""
  folders = {}

  def run(name):
    if name not in folders:
      if name == 'tiny':
        config = tiny.get_config()
      else:
        config = importlib.import_module(f'configs.{name}').get_config()
        config.dataset.options.length = 16
        config.dataset.options.size = SIZE
        train_ops = config.preprocess.train
        config.preprocess.train = train_ops.replace('96, 128', '32, 48')
        config.batch_size = 8
        config.predict.batch_size = 1
      config.lr.update(warmup_steps=0, schedule='constant')
      config.optim.ema = 0.0
      config.total_steps = config.eval_every = config.checkpoint_every = 2
      config.num_pictures = 1
      folders[name] = tmp_path_factory.mktemp(name)
      train.run(config, Workdir(folders[name]))
    return str(folders[name])

  return run


def scene():
  return shapes.load('val', size=SIZE, length=1, difficulty=0.0)[0]['image']


def test_canny_is_derived_when_an_image_is_predicted(runs):
  predictor = predict.load(runs('gscnn'))
  assert predictor.asks == ()
  labels, probabilities = predictor(scene())
  assert labels.shape == SIZE
  np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('segfix', ''),
        ('cascade_psp', ', size=72, min_area=16'),
        ('cascade_psp', ', size=72, min_area=16, parts=False, local=False'),
    ],
)
def test_one_run_refines_what_another_predicts(runs, name, options):
  refinement = f'{name}(workdir={runs(name)!r}{options})'
  labels, probabilities = predict.load(runs('tiny'), refine=refinement)(scene())
  assert labels.shape == SIZE
  assert probabilities.shape == (*SIZE, 8)
  np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


def test_a_mask_is_refined_by_hand(runs):
  predictor = predict.load(runs('cascade_psp'))
  mask = np.zeros(SIZE, np.float32)
  mask[8:24, 10:30] = 1
  labels, probabilities = predictor(scene(), coarse_mask=mask)
  assert set(np.unique(labels)) <= {0, 1}
  assert probabilities.shape == (*SIZE, 2)
  assert predictor.asks == ('coarse_mask',)
  with pytest.raises(ValueError, match='give a coarse_mask'):
    predictor(scene())
