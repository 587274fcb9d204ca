import dataclasses

from segjax.benchmark import data
from segjax.data import datasets
from tests.benchmark.test_run import OPTIONS


def test_pairs_that_are_written_are_read_as_the_scenes_they_are(tmp_path):
  data.write_pairs(tmp_path, '.png', size=(32, 48), pairs=2)
  found = datasets.load('folder', 'train', str(tmp_path))
  scenes = datasets.load('shapes', 'train', size=(32, 48), length=2)
  assert len(found) == 2
  assert found.label_map.names == scenes.label_map.names
  for i in range(2):
    assert (found[i]['label'] == scenes[i]['label']).all()
    assert found[i]['image'].shape == (32, 48, 3)
    error = found[i]['image'].astype(float) - scenes[i]['image']
    assert 0 < error.std() < 2 * data.NOISE


def test_a_folder_of_ones_own_is_measured(tmp_path):
  data.write_pairs(tmp_path, '.jpg', size=(32, 48), pairs=2)
  options = dataclasses.replace(OPTIONS, folder=str(tmp_path), size=(16, 16))
  (row,) = data.rows(options)
  assert len(row['seconds']) == options.repeats
  assert row['images_per_cpu_second'] > 0
