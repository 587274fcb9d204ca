import json

import numpy as np
import pytest
from scipy import special

from segjax import evaluate
from segjax import export
from segjax import predict
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.data import image as images
from segjax.data import label_map
from segjax.data import transforms
from segjax.data.datasets import shapes
from segjax.tools import calibrate
from tests import pixels

SIZE = (32, 48)


@pytest.fixture(scope='module', autouse=True)
def small_model():
  with pytest.MonkeyPatch.context() as patch:
    pixels.replace_models(patch)
    yield


@pytest.fixture(scope='module')
def weights():
  """Of a classifier that is often right: least squares for the classes."""
  scenes = shapes.load('train', size=SIZE, length=16, difficulty=0.0)
  ops = transforms.parse('normalize')
  colors, labels = [], []
  for i in range(len(scenes)):
    shown = transforms.apply(ops, {'image': scenes[i]['image']})['image']
    known = scenes[i]['label'] != 255
    colors.append(np.c_[shown[known], np.ones(known.sum())])
    labels.append(np.eye(8)[scenes[i]['label'][known]])
  found, *_ = np.linalg.lstsq(
      np.concatenate(colors), np.concatenate(labels), rcond=None
  )
  return 6 * found[:3], 6 * found[3]


def make_run(folder, weights, scale=1.0, **more):
  kernel, bias = weights
  return Workdir(pixels.make_run(folder, scale * kernel, scale * bias, **more))


@pytest.fixture
def workdir(tmp_path, weights):
  return make_run(tmp_path / 'run', weights)


def test_a_run_of_larger_logits_has_the_larger_temperature(tmp_path, weights):
  runs = [
      make_run(tmp_path / str(scale), weights, scale) for scale in (1.0, 3.0)
  ]
  found = [calibrate.calibrate(workdir).about for workdir in runs]
  temperatures = [about['temperature'] for about in found]
  assert temperatures[1] == pytest.approx(3 * temperatures[0], rel=1e-2)
  for about in found:
    assert about['after']['NLL'] < about['before']['NLL']
    assert about['after']['accuracy'] == about['before']['accuracy']
    assert about['split'] == 'val'
  assert found[1]['after']['ECE'] == pytest.approx(
      found[0]['after']['ECE'], abs=1e-3
  )
  assert found[1]['before']['ECE'] > found[1]['after']['ECE']


@pytest.mark.parametrize('task', ['binary', 'multilabel'])
def test_sigmoids_have_a_temperature_too(tmp_path, task):
  # Bit k of a mask tells where channel k is bright, with errors; of the binary
  # task the first channel is the object.
  rng = np.random.default_rng(0)
  overlapping = task == 'multilabel'
  classes = [{'name': name} for name in ('a', 'b')]
  content = {'classes': classes, 'overlapping': overlapping}
  root = tmp_path / 'data'
  for split in ('train', 'val'):
    for kind in ('images', 'masks'):
      (root / split / kind).mkdir(parents=True)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    bright = image[..., :2] + rng.normal(0, 40, (*SIZE, 2)) > 128
    mask = bright @ [1, 2] if overlapping else bright[..., 0]
    images.write_png(root / split / 'images' / 'a.png', image)
    images.write_png(root / split / 'masks' / 'a.png', mask.astype(np.uint8))
  (root / 'dataset.json').write_text(json.dumps(content))
  kernel = np.eye(3, 2 if overlapping else 1)
  bias = np.zeros(kernel.shape[1])
  found = []
  for scale in (1.0, 2.0):
    workdir = make_run(
        tmp_path / str(scale),
        (3 * kernel, bias),
        scale,
        task=task,
        data_dir=root,
        label_map=label_map.parse(content, 'dataset.json'),
    )
    found.append(calibrate.run(workdir).about)
  assert found[1]['temperature'] == pytest.approx(
      2 * found[0]['temperature'], rel=1e-2
  )
  # Each class of a pixel is a decision.
  assert found[0]['decisions'] == SIZE[0] * SIZE[1] * kernel.shape[1]
  image = images.read_image(root / 'val' / 'images' / 'a.png')
  ops = transforms.parse('normalize')
  shown = transforms.apply(ops, {'image': image})['image']
  expected = special.expit(6 * shown @ kernel / found[1]['temperature'])
  _, probabilities = predict.load(workdir.path)(image)
  np.testing.assert_allclose(
      probabilities[..., -kernel.shape[1] :], expected, atol=1e-4
  )


def test_predictions_use_the_temperature_and_tell_it(workdir, weights):
  image = shapes.load('val', size=SIZE, length=1)[0]['image']
  labels, before = predict.load(workdir.path)(image)
  calibrate.run(workdir)
  temperature = json.loads(workdir.calibration.read_text())['temperature']
  predictor = predict.load(workdir.path)
  after_labels, after = predictor(image)
  assert predictor.describe()['options']['temperature'] == temperature
  np.testing.assert_array_equal(after_labels, labels)
  ops = transforms.parse('normalize')
  kernel, bias = weights
  shown = transforms.apply(ops, {'image': image})['image']
  logits = shown @ kernel + bias
  np.testing.assert_allclose(
      after, special.softmax(logits / temperature, -1), atol=1e-5
  )
  assert np.abs(after - before).max() > 0.01
  without = predict.load(workdir.path, temperature=1.0)
  np.testing.assert_array_equal(without(image)[1], before)
  other = predict.load(workdir.path, temperature=2.0)
  np.testing.assert_allclose(
      other(image)[1], special.softmax(logits / 2, -1), atol=1e-5
  )
  function, _ = export.function(workdir, SIZE)
  exported = function(image[None])['probabilities'][0]
  np.testing.assert_allclose(exported, after, atol=1e-4)


def test_what_was_found_is_drawn_and_not_overwritten(workdir):
  found = calibrate.run(workdir)
  assert 'Temperature' in calibrate.describe(found.about)
  picture = images.read_image(workdir.calibration.with_suffix('.png'))
  assert picture.shape[1] > picture.shape[0] > 200
  with pytest.raises(ValueError, match='calibrated. Give --replace'):
    calibrate.run(workdir)
  again = calibrate.run(workdir, pixels=500, replace=True)
  assert again.about['decisions'] == 500
  assert calibrate.run(workdir, pixels=500, replace=True).about == again.about


def test_the_temperature_of_another_checkpoint_is_refused(workdir, weights):
  calibrate.run(workdir)
  saved = Checkpoints(workdir.checkpoints)
  kernel, bias = (np.float32(x) for x in weights)
  params = {'classifier': {'kernel': kernel, 'bias': bias}}
  saved.save(5, {'params': params, 'mutable': {}})
  saved.close()
  config = workdir.read_config()
  for use in (
      lambda: predict.load(workdir.path),
      lambda: evaluate.run(config, workdir),
  ):
    with pytest.raises(ValueError, match='of step 0, and the best .* step 5'):
      use()
  assert predict.load(workdir.path, temperature=1.0).step == 5
  calibrate.run(workdir, replace=True)
  assert predict.load(workdir.path).step == 5


def test_scores_of_the_most_probable_classes_stay(workdir):
  config = workdir.read_config()
  before = evaluate.run(config, workdir)
  calibrate.run(workdir)
  assert evaluate.run(config, workdir)['mIoU'] == before['mIoU']


def test_a_task_without_probabilities_is_refused(tmp_path, weights):
  workdir = make_run(tmp_path / 'run', weights, task='boundaries')
  with pytest.raises(ValueError, match='boundaries predicts no probabilities'):
    calibrate.run(workdir)
  assert not workdir.calibration.exists()
