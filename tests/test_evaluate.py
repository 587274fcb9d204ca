import dataclasses
import json

import jax
import numpy as np
import pytest

from segjax import evaluate
from segjax import experiment
from segjax import parallel
from segjax import train
from segjax.artifacts import pictures
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.data import datasets
from segjax.data import label_map as label_maps
from segjax.data.datasets import shapes
from segjax.data.label_map import IGNORE
from segjax.tasks import semantic
from tests import tiny

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class TwoSizes(datasets.Dataset):
  """Eleven scenes, of which some are lower; no batch size divides them."""

  label_map = shapes.LABEL_MAP
  split = 'val'

  def __len__(self):
    return 11

  def __getitem__(self, i):
    example = shapes.load('val', size=(32, 48), length=11)[i]
    height = 25 if i % 4 == 1 else 32
    cut = {key: example[key][:height] for key in ('image', 'label')}
    return {**example, **cut}


def evaluation(config, dataset):
  system = experiment.system(config, dataset.label_map)
  return experiment.evaluation(config, system, dataset)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  workdir = Workdir(tmp_path_factory.mktemp('run'))
  train.run(tiny.get_config(), workdir)
  return workdir


@pytest.fixture(scope='module')
def variables(workdir, random_variables):
  """Those of a model that has learnt nothing but predicts many classes."""
  model = experiment.model(workdir.read_config(), label_maps.numbered(8))
  return random_variables(model, (1, 32, 48, 3))


@pytest.fixture(scope='module')
def expected(workdir, variables):
  """Confusion counts of one image at a time, by the model alone."""
  model = experiment.model(workdir.read_config(), label_maps.numbered(8))
  apply = jax.jit(lambda image: model.apply(variables, image)['logits'])
  counts = np.zeros((8, 8), int)
  for example in TwoSizes():
    image = (example['image'] - np.float32(MEAN)) / np.float32(STD)
    prediction = np.asarray(apply(image[None])[0].argmax(-1))
    counted = example['label'] != IGNORE
    np.add.at(counts, (example['label'][counted], prediction[counted]), 1)
  return counts


@pytest.mark.parametrize(
    ('mode', 'devices', 'batch_size'),
    [
        ('pmap', 1, 1),
        ('pmap', 1, 5),
        ('pmap', 8, 1),
        ('pmap', 8, 2),
        ('jit', 2, 2),
        ('jit', 8, 1),
    ],
)
def test_scores_are_those_of_one_image_at_a_time(
    workdir, variables, expected, monkeypatch, mode, devices, batch_size
):
  some = jax.local_devices()[:devices]
  monkeypatch.setattr(jax, 'local_devices', lambda: some)
  monkeypatch.setattr(parallel, 'count', lambda local=False: devices)
  config = workdir.read_config()
  config.parallel = mode
  config.predict.batch_size = batch_size
  setup = evaluation(config, TwoSizes())
  scores, _ = evaluate.score(setup, setup.predictor(variables))

  hits = np.diag(expected)
  union = expected.sum(0) + expected.sum(1) - hits
  # Rounding differs between shapes, and a pixel may be undecided.
  accuracy = pytest.approx(hits.sum() / expected.sum(), abs=5e-4)
  assert scores['accuracy'] == accuracy
  for i, name in enumerate(shapes.LABEL_MAP.names):
    iou = pytest.approx(hits[i] / union[i], abs=5e-4)
    assert scores[f'IoU/{name}'] == iou


def test_the_reference_tells_classes_apart(expected):
  assert np.count_nonzero(np.diag(expected)) > 1
  assert np.diag(expected).sum() < expected.sum()


def test_evaluation_writes_the_score_of_the_best_checkpoint(workdir):
  path = workdir.path / 'score-val.json'
  path.unlink()
  scores = evaluate.run(workdir.read_config(), workdir)
  written = json.loads(path.read_text())
  checkpoints = Checkpoints(workdir.checkpoints, read_only=True)
  assert written['step'] == checkpoints.best_step()
  trained = checkpoints.scores(written['step'])
  for name in trained.keys() - {'images_per_second'}:
    assert scores[name] == pytest.approx(trained[name], nan_ok=True)
  assert written['mIoU'] == scores['mIoU']
  assert 'are left out' in written['absent classes']
  drawn = (workdir.pictures / 'eval-val').glob('*.png')
  assert {path.name for path in drawn} == {'panel_0.png', 'confusion.png'}


def test_evaluation_may_use_another_split_and_other_windows(workdir):
  config = workdir.read_config()
  config.dataset.eval_split = 'train'
  config.predict.update(mode='slide', window=(32, 32), stride=(16, 16))
  config.predict.update(scales=(0.75, 1.0), flip=True)
  scores = evaluate.run(config, workdir)
  written = json.loads((workdir.path / 'score-train.json').read_text())
  assert written['split'] == 'train'
  assert written['mIoU'] == pytest.approx(scores['mIoU'])


def test_evaluation_needs_the_model_of_the_run(workdir):
  config = workdir.read_config()
  config.model.features = 4
  with pytest.raises(ValueError, match='model.features: 8 there, 4 now'):
    evaluate.run(config, workdir)


def test_the_convention_for_absent_classes_is_told(workdir):
  scores = Checkpoints(workdir.checkpoints, read_only=True).scores(12)
  words = semantic.scores(shapes.LABEL_MAP).describe(scores)
  assert 'classes in neither truth nor prediction are left out' in words
  for name in shapes.LABEL_MAP.names:
    assert name in words


def test_scores_of_partitions_are_told_where_a_set_is_about_them(
    workdir, monkeypatch
):
  parted = dataclasses.replace(shapes.LABEL_MAP, boundary_class=0)
  monkeypatch.setattr(shapes.Shapes, 'label_map', parted)
  scores = evaluate.run(workdir.read_config(), workdir)
  written = json.loads((workdir.path / 'score-val.json').read_text())
  words = semantic.scores(parted).describe(scores)
  for name in ('rand_error', 'V_rand', 'V_info', 'pixel_error'):
    assert written[name] == pytest.approx(scores[name])
    assert f'{scores[name]:.4f}' in words


def test_a_refined_prediction_is_drawn_before_and_after(workdir, variables):
  config = workdir.read_config()
  config.predict.refine = 'dense_crf(iterations=2)'
  setup = evaluation(config, TwoSizes())
  _, drawn = evaluate.score(setup, setup.predictor(variables))
  before, after, label = pictures.apart(drawn['refined_0'])
  _, expected, prediction = pictures.apart(drawn['panel_0'])
  np.testing.assert_array_equal(label, expected)
  np.testing.assert_array_equal(after, prediction)
  assert before.shape == after.shape
  assert (before != after).any()
  # The CRF smooths: fewer neighbours differ.
  edges = [(np.diff(x.astype(int), axis=1) != 0).sum() for x in (before, after)]
  assert edges[1] < edges[0]
  config.predict.refine = ''
  setup = evaluation(config, TwoSizes())
  _, drawn = evaluate.score(setup, setup.predictor(variables))
  assert not any(name.startswith('refined') for name in drawn)
