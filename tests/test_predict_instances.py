import json

import numpy as np
import pytest
from werkzeug.test import Client

from configs import mask_rcnn
from segjax import demo
from segjax import experiment
from segjax import predict
from segjax.data import image as images
from segjax.data.datasets import shapes
from segjax.inference import whole
from segjax.inference.views import Inference
from segjax.tasks import instances
from tests import saved_run

SIZE = 33, 49


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
  """Of a model as it is before training."""
  config = mask_rcnn.get_config()
  config.dataset.options.update(size=SIZE, length=8)
  config.model.update(
      pyramid_features=8,
      box_features=8,
      mask_features=8,
      min_score=0.0,
      detections=4,
  )
  config.predict.batch_size = 2
  variables = experiment.system(config, shapes.LABEL_MAP).init(0, (1, *SIZE, 3))
  folder = tmp_path_factory.mktemp('run')
  return predict.load(saved_run.save(folder, config, variables).path)


def test_images_become_pictures_and_a_list_of_results(predictor, tmp_path):
  dataset = shapes.load('val', size=SIZE)
  paths = [tmp_path / f'{i}.png' for i in range(3)]
  for i, path in enumerate(paths):
    images.write_png(path, dataset[i]['image'])
  output = tmp_path / 'out'
  predict.write(predictor, paths, output)
  results = json.loads((output / 'instances.json').read_text())
  assert {entry['image_id'] for entry in results} == {'0', '1', '2'}
  for entry in results:
    x, y, width, height = entry['bbox']
    assert 0 <= x <= x + width <= SIZE[1] + 1e-3
    assert 0 <= y <= y + height <= SIZE[0] + 1e-3
    assert entry['segmentation']['size'] == list(SIZE)
  assert all((output / f'{i}_overlay.png').exists() for i in range(3))


def test_objects_have_a_demo(predictor, tmp_path, monkeypatch):
  found = {
      'boxes': np.array([[2, 4, 12, 20], [0, 0, 9, 9]], np.float32),
      'classes': np.array([1, 2], np.uint8),
      'scores': np.array([0.75, 0.0], np.float32),
      'masks': np.ones((2, 14, 14), np.float32),
  }
  monkeypatch.setattr(predictor, 'predict_one', lambda image, name: found)
  client = Client(demo.Demo(predictor))
  path = tmp_path / 'scene.png'
  images.write_png(path, shapes.load('val', size=SIZE)[0]['image'])
  answer = client.post('/predict', data={'image': path.open('rb')}).json
  disk = {'name': 'disk', 'color': list(shapes.LABEL_MAP.colors[1])}
  assert answer['found'] == [disk | {'amount': '1 object'}]
  number = answer['number']
  told = client.get(f'/pixel/{number}?y=6&x=10').json
  assert told == [disk | {'value': 0.75}]
  assert client.get(f'/pixel/{number}?y=30&x=40').json == []
  (entry,) = client.get(f'/files/{number}/instances.json').json
  assert entry['image_id'] == 'scene'
  assert entry['bbox'] == [4, 2, 16, 10]


def test_boxes_are_scaled_to_the_size_of_the_label():
  def forward(batch):
    boxes = np.array([[[2.0, 4, 6, 8], [0, 0, 8, 12]]])
    return {'boxes': np.repeat(boxes, len(batch['image']), 0)}

  # An image of 4 x 6 pixels, twice as large before the model, and padded.
  example = {
      'name': 'a',
      'image': np.zeros((8, 16, 3), np.float32),
      'content': (8.0, 12.0),
      'label': np.zeros((4, 6), np.uint8),
  }
  ((_, prediction),) = whole.predict_by_task(
      instances, forward, [example], Inference()
  )
  assert prediction['boxes'].tolist() == [[1, 2, 3, 4], [0, 0, 4, 6]]
