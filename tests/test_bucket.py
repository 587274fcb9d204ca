"""Paths in a bucket, gs://..., do wherever a path does."""

import json
import pathlib
import shutil

from etils import epath
from etils.epath import backend
from etils.epath import gpath
import numpy as np
import pytest

from segjax import predict
from segjax.artifacts import prediction_folder
from segjax.artifacts import workdir as workdirs
from segjax.artifacts.summaries import JsonLinesWriter
from segjax.artifacts.workdir import Workdir
from segjax.convert import torch_file
from segjax.data import image
from segjax.data.datasets import folder
from segjax.data.datasets.shapes import LABEL_MAP
from segjax.tasks import semantic
from tests import tiny


class Bucket:
  """A backend of epath with the files of gs:// in a local folder."""

  def __init__(self, root):
    self._root = str(root)

  def __getattr__(self, name):
    method = getattr(backend.os_backend, name)

    def call(*paths, **kwargs):
      found = method(*map(self._inside, paths), **kwargs)
      if name == 'glob':
        return [path.replace(self._root, 'gs:/') for path in found]
      if name == 'walk':
        return [
            (top.replace(self._root, 'gs:/'), *rest) for top, *rest in found
        ]
      return found

    return call

  def open(self, path, mode):
    assert 'a' not in mode, 'nothing can be appended to a file in a bucket'
    return backend.os_backend.open(self._inside(path), mode)

  def _inside(self, path):
    return str(path).replace('gs:/', self._root)


@pytest.fixture
def local(tmp_path, monkeypatch):
  """The folder that is gs://bucket."""
  monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, 'gs', Bucket(tmp_path))
  monkeypatch.setattr(gpath, '_is_tf_installed', lambda: False)
  (tmp_path / 'bucket').mkdir()
  return tmp_path / 'bucket'


def test_a_workdir_may_be_in_a_bucket(local):
  workdir = Workdir('gs://bucket/run')
  workdir.make()
  with workdir.locked():
    workdir.claim(tiny.get_config())
  workdir.write_labels(LABEL_MAP, 3)
  workdir.write_pictures('step-1', {'a': np.zeros((4, 4, 3), np.uint8)})
  workdir.write_score({'split': 'val'}, 1, {'mIoU': 0.5})
  assert workdir.read_config() == tiny.get_config()
  found = {path.name for path in (local / 'run').rglob('*') if path.is_file()}
  assert found == {
      *('config.json', 'versions.json', 'labels.json', 'score-val.json'),
      'a.png',
  }
  with pytest.raises(FileNotFoundError, match='gs://bucket/none is no workdir'):
    Workdir('gs://bucket/none').read_config()


def test_summaries_in_a_bucket_are_whole_whenever_the_state_is(local):
  del local
  path = epath.Path('gs://bucket/metrics.jsonl')
  writer = JsonLinesWriter(path)
  writer.write_scalars(1, {'loss': 0.5})
  assert not path.exists()
  writer.flush()
  assert len(path.read_text().splitlines()) == 1
  writer.write_scalars(2, {'loss': 0.25})
  writer.close()
  # A run that goes on keeps the lines of the one before.
  writer = JsonLinesWriter(path)
  writer.write_scalars(3, {'loss': 0.125})
  writer.flush()
  steps = [json.loads(line)['step'] for line in path.read_text().splitlines()]
  assert steps == [1, 2, 3]


def test_a_data_set_may_be_in_a_bucket(local):
  for part in ('images', 'masks'):
    (local / 'set/train' / part).mkdir(parents=True)
  pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
  image.write_png('gs://bucket/set/train/images/a.png', pixels)
  mask = np.array([[0, 1], [1, 0]], np.uint8).repeat(2, 0).repeat(2, 1)
  image.write_png('gs://bucket/set/train/masks/a.png', mask)
  (example,) = folder.load('train', 'gs://bucket/set')
  np.testing.assert_array_equal(example['image'], pixels)
  np.testing.assert_array_equal(example['label'], mask)


@pytest.mark.parametrize('suffix', ['.safetensors', '.npz'])
def test_weights_may_be_in_a_bucket(local, suffix):
  weights = {'conv.weight': np.arange(6, dtype=np.float32).reshape(2, 3)}
  path = f'gs://bucket/weights{suffix}'
  torch_file.write(path, weights)
  assert [file.name for file in local.iterdir()] == [f'weights{suffix}']
  read = torch_file.read(path)
  np.testing.assert_array_equal(read['conv.weight'], weights['conv.weight'])


def test_pytorch_files_may_be_in_a_bucket(local):
  file = pathlib.Path(__file__).parent / 'convert/files/zip.pth'
  shutil.copy(file, local)
  expected, read = map(torch_file.read, (file, 'gs://bucket/zip.pth'))
  assert read.keys() == expected.keys()


def test_images_and_predictions_may_be_in_a_bucket(local):

  class Predictor:
    label_map = LABEL_MAP
    channels = 3
    task, samples = semantic, False

    def describe(self):
      return {'step': 3}

    def stream(self, examples, probabilities, on_error):
      assert probabilities
      for example in examples:
        size = example['image'].shape[:2]
        example |= {'raw': example['image']}
        soft = np.zeros((*size, 8), np.float32)
        labels = np.zeros(size, np.uint8)
        yield example, {'labels': labels, 'probabilities': soft}

  (local / 'photos').mkdir()
  image.write_png('gs://bucket/photos/a.png', np.zeros((4, 4, 3), np.uint8))
  predict.write(
      Predictor(), ['gs://bucket/photos'], 'gs://bucket/out', probabilities=True
  )
  names = {path.name for path in (local / 'out').iterdir()}
  assert names == {'a.png', 'a_overlay.png', 'a.npz', prediction_folder.RECORD}
  soft = np.load(local / 'out/a.npz')['probabilities']
  assert (soft.shape, soft.dtype) == ((4, 4, 8), np.float16)


def test_a_path_without_a_bucket_needs_nothing_of_google():
  assert workdirs.epath.Path('runs/a')._backend is backend.os_backend
