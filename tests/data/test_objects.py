import json

import numpy as np
import pytest

from segjax.data import boxes
from segjax.data import datasets
from segjax.data import image
from segjax.data import objects
from segjax.data import transforms
from segjax.data.image import BadExample
from segjax.data.transforms.targets import Objects

IDS = np.array(
    [
        [0, 700, 700, 3],
        [0, 700, 0, 3],
        [40_000, 40_000, 0, 0],
    ],
    np.uint16,
)
DENSE = [[0, 2, 2, 1], [0, 2, 0, 1], [3, 3, 0, 0]]


def write(root, split, masks=None, ids=IDS, name='a'):
  for folder, array in (
      ('images', np.full((*IDS.shape, 3), 9, np.uint8)),
      ('instances', ids),
      ('masks', masks),
  ):
    if array is not None:
      path = root / split / folder / f'{name}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      image.write_png(path, np.asarray(array))


def read(path):
  return objects.dense(objects.read_numbers(path))[0]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_numbers_of_objects_become_dense(tmp_path, dtype):
  ids = (IDS % 251).astype(dtype)  # Eight bits keep them apart.
  image.write_png(tmp_path / 'a.png', ids)
  assert (np.unique(read(tmp_path / 'a.png')) == [0, 1, 2, 3]).all()


def test_sixteen_bits_are_read_as_they_are(tmp_path):
  image.write_png(tmp_path / 'a.png', IDS)
  found = read(tmp_path / 'a.png')
  assert found.dtype == np.int32
  assert found.tolist() == DENSE


def test_an_image_that_objects_fill_has_no_background(tmp_path):
  image.write_png(tmp_path / 'a.png', np.array([[5, 5], [7, 7]], np.uint8))
  assert read(tmp_path / 'a.png').tolist() == [[1, 1], [2, 2]]


def test_an_object_has_the_class_of_most_of_its_pixels():
  ids = np.array([[1, 1, 1, 2, 2, 0, 3, 3]])
  label = np.array([[2, 2, 1, 255, 1, 2, 0, 0]], np.uint8)
  classes = objects.vote(ids, label)
  assert classes.tolist() == [2, 1, 0]
  crowds = np.array([0, 1, 0], np.uint8)
  found, classes, crowds, label = objects.settle(
      ids, classes, crowds, label, (1, 2)
  )
  assert found.tolist() == [[1, 1, 1, 2, 2, 0, 0, 0]]  # 0 is no thing.
  assert classes.tolist() == [2, 1]
  assert crowds.tolist() == [0, 1]
  # Nobody knows which object the pixel of class 2 is of.
  assert label.tolist() == [[2, 2, 2, 1, 1, 255, 0, 0]]


def test_a_folder_may_have_objects_in_the_place_of_masks(tmp_path):
  write(tmp_path, 'train')
  plain = datasets.load('folder', 'train', tmp_path)
  assert plain[0]['label'].tolist() == (np.array(DENSE) > 0).tolist()
  assert 'instances' not in plain[0]
  dataset = datasets.load(
      'folder', 'train', tmp_path, instances=True, objects=4
  )
  assert dataset.label_map.names == ('background', 'object')
  assert dataset.label_map.things == (1,)
  example = dataset[0]
  assert example['instances'].tolist() == DENSE
  assert example['instance_classes'].tolist() == [1, 1, 1, 255]
  assert example['instance_crowds'].tolist() == [0] * 4


def test_a_folder_may_have_objects_beside_masks(tmp_path):
  masks = np.array([[0, 1, 1, 2], [0, 1, 0, 2], [2, 1, 1, 0]], np.uint8)
  write(tmp_path, 'train', masks)
  (tmp_path / 'dataset.json').write_text(
      '{"classes": [{"name": "sky"}, {"name": "cow", "thing": true},'
      ' {"name": "dog", "thing": true}]}'
  )
  dataset = datasets.load('folder', 'train', tmp_path, instances=True)
  assert dataset.label_map.things == (1, 2)
  example = dataset[0]
  assert example['instance_classes'][:4].tolist() == [2, 1, 1, 255]
  assert example['label'].tolist() == [
      [0, 1, 1, 2],
      [0, 1, 0, 2],
      [1, 1, 255, 0],
  ]


def describe(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))


KINDS = {
    'classes': [
        {'name': 'road', 'ids': [7]},
        {'name': 'car', 'ids': [26], 'thing': True},
        {'name': 'dog', 'ids': [30], 'thing': True},
    ]
}


def test_a_json_file_tells_the_classes_of_objects_and_stuff(tmp_path):
  """Without masks; what has no number is ignored."""
  write(tmp_path, 'train')
  describe(tmp_path / 'dataset.json', KINDS)
  describe(
      tmp_path / 'train/instances/a.json',
      {'3': 'road', '700': 30, '40000': {'class': 'car', 'crowd': True}},
  )
  dataset = datasets.load('folder', 'train', tmp_path, instances=True)
  assert dataset.left_out == ()
  example = dataset[0]
  assert example['label'].tolist() == [
      [255, 2, 2, 0],
      [255, 2, 255, 0],
      [1, 1, 255, 255],
  ]
  assert example['instances'].tolist() == [
      [0, 1, 1, 0],
      [0, 1, 0, 0],
      [2, 2, 0, 0],
  ]
  assert example['instance_classes'][:3].tolist() == [2, 1, 255]
  assert example['instance_crowds'][:3].tolist() == [0, 1, 0]
  plain = datasets.load('folder', 'train', tmp_path)[0]
  assert plain['label'].tolist() == example['label'].tolist()


def test_a_json_file_beside_masks_has_the_last_word(tmp_path):
  write(tmp_path, 'train', np.full(IDS.shape, 7))
  describe(tmp_path / 'dataset.json', KINDS)
  table = {'3': 'dog', '700': 'road', '40000': 'car'}
  describe(tmp_path / 'train/instances/a.json', table)
  example = datasets.load('folder', 'train', tmp_path, instances=True)[0]
  assert example['instance_classes'][:3].tolist() == [2, 1, 255]
  assert example['label'].tolist() == [[0, 0, 0, 2], [0, 0, 0, 2], [1, 1, 0, 0]]


@pytest.mark.parametrize(
    ('table', 'words'),
    [
        ({'3': 'car'}, r'2 of its objects have no class.*\[700, 40000\]'),
        ({'3': 'cat'}, "the class 'cat' of object 3"),
        ({'3': 8}, 'the class 8 of object 3'),
        ({'3': ['car']}, 'is no number of an object'),
        ({'x': 'car'}, 'is no number of an object'),
        ([3], 'number of an object and its class'),
    ],
)
def test_wrong_tables_of_objects_are_named(tmp_path, table, words):
  write(tmp_path, 'train')
  describe(tmp_path / 'dataset.json', KINDS)
  describe(tmp_path / 'train/instances/a.json', table)
  dataset = datasets.load('folder', 'train', tmp_path, instances=True)
  with pytest.raises(BadExample, match=words):
    dataset[0]


def test_colours_are_numbers_as_in_panoptic_files(tmp_path):
  colors = np.zeros((2, 2, 3), np.uint8)
  colors[0, 0], colors[1, 1] = (5, 5, 5), (1, 2, 3)
  image.write_png(tmp_path / 'a.png', colors)
  numbers = objects.read_numbers(tmp_path / 'a.png')
  assert numbers.tolist() == [[5 * 65793, 0], [0, 1 + 256 * 2 + 65536 * 3]]
  colors[1, 1] = 0  # Three equal channels are a colour, too.
  image.write_png(tmp_path / 'a.png', colors)
  assert objects.read_numbers(tmp_path / 'a.png')[0, 0] == 5 * 65793


def test_classes_that_overlap_have_no_objects(tmp_path):
  write(tmp_path, 'train', np.zeros(IDS.shape, np.uint8))
  describe(tmp_path / 'dataset.json', KINDS | {'overlapping': True})
  with pytest.raises(ValueError, match='classes that overlap'):
    datasets.load('folder', 'train', tmp_path, instances=True)


def test_more_objects_than_rows_are_refused(tmp_path):
  write(tmp_path, 'train')
  dataset = datasets.load(
      'folder', 'train', tmp_path, instances=True, objects=2
  )
  with pytest.raises(BadExample, match=r'a.png has 3 objects.*objects=3'):
    dataset[0]


def test_an_image_without_its_objects_is_refused(tmp_path):
  write(tmp_path, 'train', np.zeros(IDS.shape, np.uint8))
  write(tmp_path, 'train', np.zeros(IDS.shape, np.uint8), None, name='b')
  with pytest.raises(FileNotFoundError, match='1 of 2 images have no map'):
    datasets.load('folder', 'train', tmp_path, instances=True)


def test_objects_of_another_size_than_the_mask_are_refused(tmp_path):
  write(tmp_path, 'train', np.zeros(IDS.shape, np.uint8), IDS[:2])
  dataset = datasets.load('folder', 'train', tmp_path, instances=True)
  with pytest.raises(BadExample, match='instances/a.png is 2x4 but its mask'):
    dataset[0]


def test_masks_of_objects_are_of_two_classes(tmp_path):
  write(tmp_path, 'train')
  (tmp_path / 'dataset.json').write_text('{"classes": [{"name": "sky"}]}')
  with pytest.raises(ValueError, match='names 1 classes'):
    datasets.load('folder', 'train', tmp_path)


def test_nuclei_are_a_folder_of_objects(tmp_path):
  for split in ('train', 'val'):
    write(tmp_path / 'nuclei', split)
  dataset = datasets.load('nuclei', 'val', tmp_path, instances=True)
  example = dataset[0]
  assert example['instances'].tolist() == DENSE
  assert example['label'].max() == 1
  assert example['image'].shape == (*IDS.shape, 3)
  with pytest.raises(FileNotFoundError, match='2018 Data Science Bowl'):
    datasets.load('nuclei', 'val', tmp_path / 'elsewhere')


def example():
  return {
      'name': 'a',
      'image': np.zeros((3, 4, 3), np.uint8),
      'label': (np.array(DENSE) > 0).astype(np.uint8),
      'instances': np.array(DENSE, np.int32),
      'instance_classes': np.array([4, 5, 6, 255], np.uint8),
      'instance_crowds': np.array([0, 1, 0, 0], np.uint8),
  }


def test_what_a_crop_shows_is_numbered_anew():
  cut = {k: v[:2] if np.ndim(v) > 1 else v for k, v in example().items()}
  cut['instances'][:, 3] = 0
  found = Objects(3).map(cut)
  assert found['instances'].tolist() == [[0, 1, 1, 0], [0, 1, 0, 0]]
  assert found['instance_classes'].tolist() == [5, 255, 255]
  assert found['instance_crowds'].tolist() == [1, 0, 0]
  assert found['instance_boxes'].tolist() == [[0, 1, 2, 3]] + [[0] * 4] * 2
  assert found['instance_valid'].tolist() == [0, 0, 0]  # It is a group.
  assert found['instance_boxes'].dtype == np.float32


def test_the_largest_objects_stay_in_their_order():
  found = Objects(2).map(example())
  assert found['instance_classes'].tolist() == [4, 5]
  assert found['instances'].max() == 2
  assert not found['instances'][2].any()
  none = Objects(2, min_area=4).map(example())
  assert not none['instances'].any()
  assert not none['instance_valid'].any()


def test_objects_are_listed_after_all_moves():
  with pytest.raises(ValueError, match='flip must come before objects'):
    transforms.parse('objects(3)|flip|normalize')
  with pytest.raises(ValueError, match='count and min_area'):
    transforms.parse('objects(0)')


def test_bounds_end_behind_the_last_pixel():
  found, pixels = boxes.bounds(np.array(DENSE), 4)
  assert found.tolist() == [
      *([0, 3, 2, 4], [0, 1, 2, 3], [2, 0, 3, 2]),
      [0, 0, 0, 0],
  ]
  assert pixels.tolist() == [2, 3, 2, 0]
