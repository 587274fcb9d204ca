import http.client
import io
import json
import threading

import numpy as np
from PIL import Image
import pytest
from werkzeug.test import Client

from segjax import demo
from segjax import experiment
from segjax import export
from segjax import predict
from segjax.data import image as images
from segjax.data import transforms
from segjax.data.datasets import shapes
from segjax.data.values import Values
from segjax.exported import ExportedPredictor
from tests import saved_run
from tests import tiny
from tests.web import html

SIZE = 32, 48
DISK = shapes.LABEL_MAP.colors[1]


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, random_variables):
  """A run with weights of no meaning."""
  config = tiny.get_config()
  model = experiment.model(config, shapes.LABEL_MAP)
  return saved_run.save(
      tmp_path_factory.mktemp('run <1>'),
      config,
      random_variables(model, (1, *SIZE, 3)),
      values=Values(('uint8',), 100, 255),
  )


@pytest.fixture(scope='module')
def predictor(workdir):
  return predict.load(workdir.path)


@pytest.fixture(scope='module')
def client(predictor):
  return Client(demo.Demo(predictor, megapixels=0.01))


def scene():
  return shapes.load('val', size=SIZE, length=1)[0]['image']


def encoded(array, kind='png'):
  file = io.BytesIO()
  if kind == 'npy':
    np.save(file, array)
  else:
    Image.fromarray(array).save(file, kind)
  return file.getvalue()


def post(client, content, name='scene.png', **more):
  files = {'image': (io.BytesIO(content), name)}
  files |= {k: (io.BytesIO(v), f'{k}.png') for k, v in more.items()}
  return client.post('/predict', data=files)


@pytest.fixture(scope='module')
def answer(client):
  response = post(client, encoded(scene()))
  assert response.status_code == 200, response.text
  return response.json


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(client, workdir):
  response = client.get('/')
  assert response.mimetype == 'text/html'
  page = html.Page(response.text)
  html.check(page)
  assert page.find('code')[0][1] == str(workdir.path.resolve())
  for address in page.addresses():
    assert address == 'data:,' or client.get(address).status_code == 200
  policy = response.headers['Content-Security-Policy']
  assert "default-src 'none'" in policy
  assert 'unsafe' not in policy


def test_an_image_is_predicted_and_shown(answer, predictor):
  labels, _ = predictor(scene())
  assert (answer['height'], answer['width']) == SIZE
  np.testing.assert_array_equal(
      html.decode(answer['painted']), np.array(shapes.LABEL_MAP.colors)[labels]
  )
  assert html.decode(answer['image']).shape == (*SIZE, 3)
  names = [shapes.LABEL_MAP.names[i] for i in np.unique(labels)]
  assert [found['name'] for found in answer['found']] == names


def test_a_pixel_tells_its_probabilities(client, answer, predictor):
  _, probabilities = predictor(scene())
  for y, x in ((0, 0), (31, 47), (10, 20)):
    told = client.get(f'/pixel/{answer["number"]}?y={y}&x={x}').json
    values = np.sort(probabilities[y, x])[::-1]
    assert [c['value'] for c in told] == pytest.approx(
        values[: demo.TOLD], abs=1e-3
    )
    best = shapes.LABEL_MAP.names[probabilities[y, x].argmax()]
    assert told[0]['name'] == best
  for place in ('y=32&x=0', 'y=-1&x=0', 'y=a&x=0', ''):
    response = client.get(f'/pixel/{answer["number"]}?{place}')
    assert response.status_code == 400
    assert 'There is no pixel' in response.json['error']


def test_files_are_those_of_a_prediction(client, answer, predictor, tmp_path):
  images.write_png(tmp_path / 'scene.png', scene())
  predict.write(predictor, [tmp_path / 'scene.png'], tmp_path / 'out')
  assert answer['files'] == ['scene.png', 'scene_overlay.png']
  for name in answer['files']:
    response = client.get(f'/files/{answer["number"]}/{name}')
    assert response.mimetype == 'image/png'
    assert f'filename={name}' in response.headers['Content-Disposition']
    assert response.data == (tmp_path / 'out' / name).read_bytes()
  assert client.get(f'/files/{answer["number"]}/none').status_code == 404


WHOLE = np.full((20, 20, 3), 200, np.uint8)
BAD = {
    'text': (b'no', 'a.png', 415, 'no image, cannot identify image file.'),
    'cut': (encoded(WHOLE)[:50], 'a.png', 415, 'a.png: '),
    'empty': (b'', 'a.png', 415, 'the file is empty'),
    'suffix': (encoded(WHOLE), 'a.exe', 415, 'a.exe is none of'),
    'nan': (
        *(encoded(np.full((20, 20, 3), np.nan, np.float32), 'npy'), 'a.npy'),
        *(422, 'a.npy holds float32, but the model was trained on uint8'),
    ),
    'channels': (
        *(encoded(np.zeros((20, 20, 5), np.uint8), 'npy'), 'a.npy'),
        *(422, 'a.npy has 5 channels, expected 3'),
    ),
    'bits': (
        *(encoded(WHOLE[..., 0].astype(np.uint16)), 'a.png'),
        *(422, 'a.png holds uint16'),
    ),
    'pixels': (
        *(encoded(np.zeros((101, 100), np.uint8)), 'a.png'),
        *(413, 'a.png is 100 x 101 pixels; this page takes 0.01 million'),
    ),
    'values': (
        *(encoded(np.zeros((101, 100, 3), np.float32), 'npy'), 'a.npy'),
        *(413, 'a.npy is 100 x 101 pixels'),
    ),
    'path': (encoded(WHOLE)[:50], '../../b/a.png', 415, 'a.png: '),
}


@pytest.mark.parametrize('case', BAD)
def test_a_bad_upload_is_told_in_words(client, case):
  content, name, status, words = BAD[case]
  response = post(client, content, name)
  assert response.status_code == status, response.text
  assert words in response.json['error']
  assert '/tmp' not in response.json['error']
  assert '..' not in response.json['error']


def test_an_image_without_numbers_is_told_in_words(
    client, predictor, monkeypatch
):
  # As of a run on images of such values.
  monkeypatch.setattr(predictor, '_values', None)
  ops = transforms.parse('normalize(mean=120.0, std=60.0)')
  monkeypatch.setattr(predictor, '_ops', ops)
  image = scene().astype(np.float32)
  response = post(client, encoded(image, 'npy'), 'a.npy')
  assert response.status_code == 200, response.text
  image[3, 4] = np.nan
  response = post(client, encoded(image, 'npy'), 'a.npy')
  assert response.status_code == 422, response.text
  assert 'a.npy' in response.json['error']
  assert 'NaN' in response.json['error']


def test_wrong_requests_are_told_in_words(client, monkeypatch):
  assert client.post('/predict').status_code == 400
  assert 'no image' in client.post('/predict').json['error']
  assert client.get('/predict').status_code == 405
  assert client.get('/etc/passwd').status_code == 404
  assert client.get('/pixel/999?y=0&x=0').status_code == 404
  # A page of somebody else, whose name leads to this machine.
  response = client.get('/', headers={'Host': 'example.org:8000'})
  assert response.status_code == 400
  assert 'http://localhost' in response.json['error']
  monkeypatch.setattr(demo.Request, 'max_content_length', 1000)
  response = post(client, bytes(2000))
  assert response.status_code == 413
  assert 'more than 64 MB' in response.json['error']


def test_a_failure_is_told_and_the_next_image_is_predicted(
    client, predictor, monkeypatch
):
  def fail(*args, **kwargs):
    raise RuntimeError('out of memory')

  with monkeypatch.context() as patch:
    patch.setattr(predictor, 'predict_one', fail)
    response = post(client, encoded(scene()))
  assert response.status_code == 500
  assert 'its log says why' in response.json['error']
  assert post(client, encoded(scene())).status_code == 200


def test_old_predictions_are_forgotten(predictor):
  client = Client(demo.Demo(predictor))
  numbers = [
      post(client, encoded(scene())).json['number']
      for _ in range(demo.KEPT + 1)
  ]
  assert client.get(f'/pixel/{numbers[1]}?y=0&x=0').status_code == 200
  response = client.get(f'/pixel/{numbers[0]}?y=0&x=0')
  assert response.status_code == 404
  assert 'predict it again' in response.json['error']


def test_images_that_come_together_are_predicted_one_by_one(
    predictor, monkeypatch
):
  server = demo.serve(demo.Demo(predictor), 'localhost', 0)
  serving = threading.Thread(target=server.serve_forever)
  serving.start()
  inside, most, predict_one = [], [], predictor.predict_one

  def watched(*args, **kwargs):
    inside.append(0)
    most.append(len(inside))
    try:
      return predict_one(*args, **kwargs)
    finally:
      inside.pop()

  monkeypatch.setattr(predictor, 'predict_one', watched)
  found = []
  content = encoded(scene())
  body = (
      b'--x\r\nContent-Disposition: form-data; name="image";'
      b' filename="a.png"\r\n\r\n' + content + b'\r\n--x--\r\n'
  )

  def ask():
    connection = http.client.HTTPConnection('localhost', server.port)
    kind = {'Content-Type': 'multipart/form-data; boundary=x'}
    connection.request('POST', '/predict', body, kind)
    found.append(json.loads(connection.getresponse().read()))

  try:
    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
      asker.start()
    for asker in askers:
      asker.join()
  finally:
    server.shutdown()
    serving.join()
    server.server_close()
  assert most == [1] * 4
  assert len({answer['number'] for answer in found}) == 4
  assert len({answer['painted'] for answer in found}) == 1


def test_an_exported_model_has_a_demo(workdir, answer, tmp_path):
  path = tmp_path / 'model.stablehlo'
  export.write(workdir, path, SIZE)
  client = Client(demo.Demo(ExportedPredictor(path)))
  assert 'model.stablehlo' in html.Page(client.get('/').text).find('code')[0][1]
  response = post(client, encoded(scene()))
  assert response.status_code == 200, response.text
  one, other = (html.decode(x['painted']) for x in (answer, response.json))
  assert np.mean(one != other) < 2e-3
  assert response.json['files'] == answer['files']


def test_a_model_that_reads_more_is_given_it(predictor, monkeypatch):
  given = {}

  def predict_one(image, *, name, coarse_mask):
    given['mask'] = coarse_mask
    return {'labels': np.uint8(coarse_mask > 0.5)}

  monkeypatch.setattr(predictor, 'asks', ('coarse_mask',))
  monkeypatch.setattr(predictor, 'predict_one', predict_one)
  client = Client(demo.Demo(predictor))
  page = html.Page(client.get('/').text)
  html.check(page)
  assert page.find('input', name='coarse_mask')
  response = post(client, encoded(scene()))
  assert response.status_code == 422
  assert 'reads coarse_mask beside the image' in response.json['error']
  mask = np.zeros(SIZE, np.uint8)
  mask[4:9] = 255
  response = post(client, encoded(scene()), coarse_mask=encoded(mask))
  assert response.status_code == 200, response.text
  np.testing.assert_array_equal(given['mask'], mask / 255)
  told = client.get(f'/pixel/{response.json["number"]}?y=5&x=0').json
  assert told == [{'name': 'disk', 'color': [*DISK], 'value': None}]
