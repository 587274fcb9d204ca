import json

import numpy as np
from PIL import Image
import pytest

from configs import panoptic_deeplab
from segjax import experiment
from segjax import predict
from segjax.artifacts import prediction_folder
from segjax.data import image as images
from segjax.data.datasets import shapes
from tests import saved_run

SIZE = 33, 49


def get_config():
  config = panoptic_deeplab.get_config()
  config.task = 'panoptic(threshold=0.0, top_k=9, stuff_area=1)'
  config.dataset.options.update(size=SIZE, length=8)
  config.model.update(aspp_features=8, features=8, instance_features=8)
  config.predict.batch_size = 2
  return config


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
  """Of a model as it is before training."""
  config = get_config()
  variables = experiment.system(config, shapes.LABEL_MAP).init(0, (1, *SIZE, 3))
  folder = tmp_path_factory.mktemp('run')
  return predict.load(saved_run.save(folder, config, variables).path)


def test_images_become_files_of_segments_and_one_that_tells_them(
    predictor, tmp_path
):
  dataset = shapes.load('val', size=SIZE)
  for i in range(3):
    images.write_png(tmp_path / f'{i}.png', dataset[i]['image'])
  paths = [tmp_path / f'{i}.png' for i in range(3)]
  predict.write(predictor, paths, tmp_path / 'out')
  content = json.loads((tmp_path / 'out/panoptic.json').read_text())
  assert [entry['id'] for entry in content['images']] == ['0', '1', '2']
  for annotation in content['annotations']:
    path = tmp_path / 'out' / annotation['file_name']
    with Image.open(path) as file:
      colors = np.asarray(file, np.int64)
    assert colors.shape == (*SIZE, 3)
    ids = set(np.unique(colors @ [1, 256, 65536])) - {0}
    assert ids == {s['id'] for s in annotation['segments_info']}


def test_a_second_call_adds_to_what_tells_the_segments(predictor, tmp_path):
  dataset, output = shapes.load('val', size=SIZE), tmp_path / 'out'
  summary = output / 'panoptic.json'
  paths = [tmp_path / f'{i}.png' for i in range(3)]
  for i, path in enumerate(paths):
    images.write_png(path, dataset[i]['image'])
  mended = paths[1].read_bytes()
  paths[1].write_bytes(mended[:99])
  with pytest.raises(ValueError, match='1 of 3 images'):
    predict.write(predictor, paths, output)
  before = json.loads(summary.read_text())
  assert [entry['id'] for entry in before['images']] == ['0', '2']
  paths[1].write_bytes(mended)
  predict.write(predictor, paths, output)
  after = json.loads(summary.read_text())
  assert [entry['id'] for entry in after['images']] == ['0', '2', '1']
  assert after['annotations'][:2] == before['annotations']

  (
      output / prediction_folder.RECORD
  ).unlink()  # As if somebody else had written it.
  for path in output.glob('*.png'):
    path.unlink()
  with pytest.raises(ValueError, match='panoptic.json exists already'):
    predict.write(predictor, paths, output)
  assert json.loads(summary.read_text()) == after


def test_an_interrupted_prediction_tells_of_all_segments_at_its_end(
    predictor, tmp_path
):
  path, output = tmp_path / '0.png', tmp_path / 'out'
  images.write_png(path, shapes.load('val', size=SIZE)[0]['image'])
  predict.write(predictor, [path], output)
  told = (output / 'panoptic.json').read_text()
  (output / 'panoptic.json').unlink()  # It is written last.
  predict.write(predictor, [path], output)
  assert (output / 'panoptic.json').read_text() == told


def test_a_data_set_without_objects_is_refused():
  config = get_config()
  config.dataset.options.instances = False
  with pytest.raises(ValueError, match='config.dataset.options.instances'):
    experiment.training(config)
