import json

import jax
import numpy as np
import pytest

from segjax import experiment
from segjax import predict
from segjax import train
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data import label_map as label_maps
from segjax.data.datasets import shapes
from segjax.tasks import binary
from segjax.tasks import semantic
from tests import tiny

NAMES = ('ground', 'object')


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  """A run on a folder of scenes with two classes: background and object."""
  root = tmp_path_factory.mktemp('data')
  for split, length in (('train', 16), ('val', 8)):
    for kind in ('images', 'masks'):
      (root / split / kind).mkdir(parents=True)
    for scene in shapes.load(
        split, size=(32, 48), length=length, difficulty=0.0
    ):
      mask = np.where(scene['label'] == 255, 255, scene['label'] > 0)
      name = f'{scene["name"]}.png'
      images.write_png(root / split / 'images' / name, scene['image'])
      images.write_png(root / split / 'masks' / name, np.uint8(mask))
  classes = [{'name': n, 'ids': [i]} for i, n in enumerate(NAMES)]
  content = {'classes': classes, 'ignore': [255]}
  (root / 'dataset.json').write_text(json.dumps(content))
  config = tiny.get_config()
  config.dataset.name = 'folder'
  config.dataset.options = {}
  config.data_dir = str(root)
  config.task = 'binary'
  config.loss = 'binary_cross_entropy(pos_weight=4.0) + 0.5 * dice'
  return config


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
  workdir = Workdir(tmp_path_factory.mktemp('run'))
  train.run(config, workdir)
  return workdir


def test_a_system_has_one_channel(config):
  model = experiment.model(config, label_maps.numbered(2))
  out = jax.eval_shape(
      model.init_with_output, jax.random.key(0), np.zeros((1, 32, 48, 3))
  )[0]
  assert out['logits'].shape == (1, 32, 48, 1)


def test_a_run_learns_and_scores_the_objects(config, workdir):
  metrics = tiny.read_metrics(workdir)
  first, last = metrics[2], metrics[config.total_steps]
  assert last['train/loss'] < first['train/loss']
  for score in ('precision', 'recall', 'dice', 'IoU'):
    assert 0 <= last[f'val/{score}/object'] <= 1
  dice, iou = last['val/dice/object'], last['val/IoU/object']
  assert dice == pytest.approx(2 * iou / (1 + iou))


def test_probabilities_are_the_sigmoid_of_the_channel_and_its_complement():
  logits = np.float32([-9, -0.1, 0, 3]).reshape(1, 2, 2, 1)
  both = jax.nn.softmax(binary.predict({'logits': logits, 'aux': {}})['logits'])
  np.testing.assert_allclose(both[..., 1:], 1 / (1 + np.exp(-logits)), 1e-6)
  np.testing.assert_allclose(both.sum(-1), 1, 1e-6)


def test_a_pixel_is_an_object_above_the_threshold(config, workdir):
  image = shapes.load('val', size=(32, 48), length=1)[0]['image']
  labels, probabilities = predict.load(workdir.path)(image)
  np.testing.assert_array_equal(labels, probabilities[..., 1] > 0.5)
  # One in the widest gap around those of the pixels of this image.
  values = np.sort(probabilities[..., 1].ravel())[1000:1400]
  gap = np.diff(values).argmax()
  threshold = float(values[gap : gap + 2].mean())
  predictor = predict.load(workdir.path, threshold=threshold)
  labels, probabilities = predictor(image)
  np.testing.assert_array_equal(labels, probabilities[..., 1] > threshold)
  assert 0 < labels.mean() < 0.4


def test_one_class_alone_is_no_task():
  with pytest.raises(ValueError, match='1 class; at least 2'):
    semantic.channels(label_maps.numbered(1))
  with pytest.raises(ValueError, match='1 classes; .* is for two'):
    binary.channels(label_maps.numbered(1))
