"""Objects in miniatures of the owners' layouts."""

import json

import numpy as np
from PIL import Image
import pytest

from segjax.data import coco_masks
from segjax.data import datasets
from segjax.data import transforms
from segjax.data.image import BadExample

SIZE = 4, 6
IMAGE = np.full((*SIZE, 3), (200, 100, 50), np.uint8)


def write(path, array=IMAGE):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)


def rows(*lines):
  return np.array([list(map(int, line.split())) for line in lines])


def instances(root, annotations, images='train2017'):
  """Writes COCO's instances of two images, the second without any."""
  for name in ('000000000009', '000000000025'):
    write(root / images / f'{name}.jpg')
  content = {
      'images': [
          dict(id=int(n), file_name=f'{n}.jpg', height=4, width=6)
          for n in ('000000000009', '000000000025', '000000000030')
      ],
      'annotations': [a | {'image_id': 9} for a in annotations],
      'categories': [dict(id=1, name='person'), dict(id=90, name='brush')],
  }
  path = root / 'annotations/instances_train2017.json'
  path.parent.mkdir(exist_ok=True)
  path.write_text(json.dumps(content))


GROUP = coco_masks.run_lengths(rows(*['1 1 1 1 1 1'] + ['0 0 0 0 0 0'] * 3))
ANNOTATIONS = [
    dict(category_id=90, segmentation=[[1, 0, 2, 0, 2, 3, 1, 3]], iscrowd=0),
    dict(category_id=1, segmentation=[[1, 0, 4, 0, 4, 4, 1, 4]], iscrowd=0),
    dict(
        category_id=90,
        segmentation={'size': [4, 6], 'counts': GROUP},
        iscrowd=1,
    ),
    dict(category_id=1, bbox=[0, 0, 1, 1]),
]


@pytest.mark.parametrize('images', ['train2017', 'images/train2017'])
def test_coco_instances(tmp_path, images):
  instances(tmp_path / 'coco', ANNOTATIONS, images)
  dataset = datasets.load(
      'coco_instances', 'train', tmp_path, instances=True, objects=4
  )
  assert dataset.label_map.names == ('background', 'person', 'brush')
  assert dataset.label_map.things == (1, 2)
  left_out = ' '.join(dataset.left_out)
  assert '1 images that are missing: 000000000030.jpg' in left_out
  assert '1 boxes without an outline: 000000000009.jpg' in left_out
  example, empty = dataset
  assert example['label'].tolist() == [
      [2, 2, 1, 1, 2, 2],
      *[[0, 2, 1, 1, 0, 0]] * 2,
      [0, 1, 1, 1, 0, 0],
  ]
  ids = example['instances']
  assert ids[0, 0] == ids[0, 5] != ids[0, 1] == ids[2, 1]
  assert example['instance_classes'].tolist() == [2, 1, 2, 255]
  assert example['instance_crowds'].tolist() == [1, 0, 0, 0]
  assert empty['instances'].max() == empty['label'].max() == 0
  assert empty['instance_classes'].tolist() == [255] * 4
  plain = datasets.load('coco_instances', 'train', tmp_path)[0]
  assert plain.keys() == {'image', 'label', 'name'}
  assert 'instances_train2017.json' in dataset.where(1)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(category_id=7), 'its category 7 is not in the file'),
        (
            dict(segmentation={'size': [4, 6], 'counts': [3]}),
            'whose runs are damaged',
        ),
        (
            dict(segmentation={'size': [6, 4], 'counts': [24]}),
            'whose runs are of another size',
        ),
        (dict(segmentation=[[1, 2, 3]]), 'no list of x and y'),
    ],
)
def test_damaged_outlines_name_their_image(tmp_path, changes, words):
  instances(tmp_path, [ANNOTATIONS[0] | changes])
  dataset = datasets.load('coco_instances', 'train', tmp_path)
  with pytest.raises(BadExample, match=f'000000000009 in .*{words}'):
    dataset[0]
  assert dataset[1]['name'] == '000000000025'


def test_an_image_of_another_size_than_its_outlines_is_named(tmp_path):
  instances(tmp_path, ANNOTATIONS)
  write(tmp_path / 'train2017/000000000025.jpg', IMAGE[:3])
  dataset = datasets.load('coco_instances', 'train', tmp_path)
  with pytest.raises(BadExample, match='is 4x6 but its image .*25.jpg is 3x6'):
    dataset[1]


def test_coco_without_its_images_says_where_they_go(tmp_path):
  instances(tmp_path, ANNOTATIONS, 'photos')
  with pytest.raises(FileNotFoundError, match='neither .*train2017 nor'):
    datasets.load('coco_instances', 'train', tmp_path)


def panoptic(root, folder='annotations/panoptic_val2017'):
  """Writes a person, two groups of dogs, a rug and a pixel of nothing."""
  write(root / 'val2017/000000000009.jpg')
  numbers = rows(
      '257 257 70000 70000 70000 0',
      *['257 257 70000 70000 9 9'] * 3,
  )
  colors = np.stack([numbers >> 8 * i & 255 for i in range(3)], -1)
  write(root / folder / '000000000009.png', colors.astype(np.uint8))
  infos = [
      dict(id=257, category_id=200, iscrowd=0),
      dict(id=70000, category_id=18, iscrowd=1),
      dict(id=9, category_id=1, iscrowd=0),
  ]
  content = {
      'images': [dict(id=9, file_name='000000000009.jpg', height=4, width=6)],
      'annotations': [
          dict(image_id=9, file_name='000000000009.png', segments_info=infos)
      ],
      'categories': [
          dict(id=1, name='person', isthing=1, color=[220, 20, 60]),
          dict(id=18, name='dog', isthing=1, color=[255, 77, 255]),
          dict(id=200, name='rug-merged', isthing=0, color=[250, 141, 255]),
      ],
  }
  path = root / 'annotations/panoptic_val2017.json'
  path.parent.mkdir(exist_ok=True)
  path.write_text(json.dumps(content))
  return content, path


@pytest.mark.parametrize('folder', ['annotations/panoptic_val2017', None])
def test_coco_panoptic(tmp_path, folder):
  panoptic(tmp_path / 'coco', folder or 'panoptic_val2017')
  dataset = datasets.load(
      'coco_panoptic', 'val', tmp_path, instances=True, objects=3
  )
  labels = dataset.label_map
  assert labels.names == ('person', 'dog', 'rug-merged')
  assert labels.things == (0, 1)
  assert labels.colors[0] == (220, 20, 60)
  example = dataset[0]
  assert example['label'].tolist() == [
      [2, 2, 1, 1, 1, 255],
      *[[2, 2, 1, 1, 0, 0]] * 3,
  ]
  assert example['instances'].tolist() == [
      [0, 0, 2, 2, 2, 0],
      *[[0, 0, 2, 2, 1, 1]] * 3,
  ]
  assert example['instance_classes'].tolist() == [0, 1, 255]
  assert example['instance_crowds'].tolist() == [0, 1, 0]
  turned = datasets.load('coco_panoptic', 'val', tmp_path, stuff_first=True)
  assert turned.label_map.names == ('rug-merged', 'person', 'dog')
  assert turned.label_map.things == (1, 2)
  assert turned[0]['label'][0].tolist() == [0, 0, 2, 2, 2, 255]
  plain = datasets.load('coco_panoptic', 'val', tmp_path)[0]
  assert plain['label'].tolist() == example['label'].tolist()


def test_a_segment_that_the_json_file_lacks_is_named(tmp_path):
  content, path = panoptic(tmp_path)
  content['annotations'][0]['segments_info'].pop()
  path.write_text(json.dumps(content))
  with pytest.raises(BadExample, match=r'have no class.*first are \[9\]'):
    datasets.load('coco_panoptic', 'val', tmp_path)[0]


def cityscapes(root, numbers, split='train', kind='gtFine'):
  """Writes an image of a street, with numbers of objects."""
  stem = 'aachen/aachen_000000_000019'
  write(root / 'leftImg8bit' / split / f'{stem}_leftImg8bit.png')
  masks = root / kind / split
  label = np.where(numbers >= 1000, numbers // 1000, numbers)
  write(masks / f'{stem}_{kind}_labelIds.png', label.astype(np.uint8))
  path = masks / f'{stem}_{kind}_instanceIds.png'
  write(path, numbers.astype(np.uint16))
  return path


@pytest.mark.parametrize(
    ('split', 'kind'), [('train', 'gtFine'), ('train_extra', 'gtCoarse')]
)
def test_cityscapes_has_objects_groups_and_stuff(tmp_path, split, kind):
  numbers = rows(
      # Road, two cars, a group of people, a caravan and what is not labelled.
      '7 7 26000 26000 24 24',
      '7 7 26000 26001 24 24',
      '7 7 26001 26001 29000 29000',
      '0 0 7 7 7 7',
  )
  cityscapes(tmp_path, numbers, split, kind)
  dataset = datasets.load(
      'cityscapes', split, tmp_path, instances=True, objects=4
  )
  names = dataset.label_map.names
  assert [names[i] for i in dataset.label_map.things] == [
      *('person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle'),
      'bicycle',
  ]
  example = dataset[0]
  assert example['label'].tolist() == [
      [0, 0, 13, 13, 11, 11],
      [0, 0, 13, 13, 11, 11],
      [0, 0, 13, 13, 255, 255],
      [255, 255, 0, 0, 0, 0],
  ]
  assert example['instances'].tolist() == [
      [0, 0, 2, 2, 1, 1],
      [0, 0, 2, 3, 1, 1],
      [0, 0, 3, 3, 0, 0],
      [0] * 6,
  ]
  assert example['instance_classes'].tolist() == [11, 13, 13, 255]
  assert example['instance_crowds'].tolist() == [1, 0, 0, 0]
  plain = datasets.load('cityscapes', split, tmp_path)
  assert plain.label_map.things == ()
  assert plain[0]['label'].tolist() == example['label'].tolist()
  # A group teaches no box.
  found = transforms.parse('objects(4)')[0].map(example)
  assert found['instance_valid'].tolist() == [0, 1, 1, 0]


def test_cityscapes_without_numbers_of_objects_names_the_file(tmp_path):
  path = cityscapes(tmp_path, rows(*['7 7 7 7 7 7'] * 4))
  path.unlink()
  assert len(datasets.load('cityscapes', 'train', tmp_path)) == 1
  with pytest.raises(FileNotFoundError, match='_gtFine_instanceIds.png'):
    datasets.load('cityscapes', 'train', tmp_path, instances=True)
