import numpy as np
import pytest
import tensorflow_datasets as tfds

from segjax.data import datasets
from segjax.data.label_map import IGNORE

EXAMPLE = {
    'file_name': b'Abyssinian_100.jpg',
    'image': np.full((2, 3, 3), 9, np.uint8),
    'segmentation_mask': np.array([[[1], [2], [3]]] * 2, np.uint8),
    'label': 0,
    'species': 0,
    'head_bbox': np.zeros(4, np.float32),
}


@pytest.fixture
def calls(monkeypatch):
  calls = []

  def data_source(name, **fields):
    calls.append((name, fields))
    return [EXAMPLE] * 2

  monkeypatch.setattr(tfds, 'data_source', data_source)
  return calls


@pytest.mark.parametrize(('border', 'third'), [(True, 2), (False, IGNORE)])
def test_the_border_is_a_class_or_ignored(calls, tmp_path, border, third):
  dataset = datasets.load('oxford_iiit_pet', 'train', tmp_path, border=border)
  assert dataset.label_map.num_classes == (3 if border else 2)
  example = dataset[1]
  assert example['name'] == 'Abyssinian_100'
  np.testing.assert_array_equal(example['image'], EXAMPLE['image'])
  np.testing.assert_array_equal(example['label'], [[0, 1, third]] * 2)


def test_the_builder_is_asked_for_the_split_in_a_format_of_random_access(
    calls, tmp_path
):
  assert len(datasets.load('oxford_iiit_pet', 'test', tmp_path)) == 2
  [(name, fields)] = calls
  assert name == 'oxford_iiit_pet'
  assert (fields['split'], fields['data_dir']) == ('test', tmp_path)
  assert fields['builder_kwargs'] == {'file_format': 'array_record'}


def test_the_builder_has_the_keys_that_are_read(tmp_path):
  builder = tfds.builder('oxford_iiit_pet', data_dir=tmp_path)
  assert set(builder.info.features) == set(EXAMPLE)


def test_a_failed_download_tells_what_to_do(monkeypatch, tmp_path):
  def data_source(*_, **__):
    raise ConnectionError('no route')

  monkeypatch.setattr(tfds, 'data_source', data_source)
  with pytest.raises(
      FileNotFoundError, match='copy the folder .*\n.*\nno route'
  ):
    datasets.load('oxford_iiit_pet', 'train', tmp_path)


def test_an_unknown_split_is_answered_with_those_that_exist():
  with pytest.raises(ValueError, match="no split 'val'; it has train, test"):
    datasets.load('oxford_iiit_pet', 'val')
