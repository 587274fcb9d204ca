"""Predictions in raw ids are what the readers of data sets read as truth."""

import json

import numpy as np
from PIL import Image
import pytest

from segjax.artifacts.workdir import Workdir
from segjax.data import datasets
from segjax.data import image as images
from segjax.data import label_map as label_maps
from segjax.data import raw_ids
from segjax.data.label_map import LabelMap
from segjax.tasks import boundaries
from segjax.tasks import instances
from segjax.tasks import multilabel
from segjax.tasks import panoptic
from segjax.tasks import semantic

SIZE = 12, 20
# The split to read, and where the image and the mask of an example lie.
LAYOUTS = {
    'cityscapes': (
        'val',
        'leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png',
        'gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png',
    ),
    'ade20k': (
        'val',
        'images/validation/ADE_val_00000001.jpg',
        'annotations/validation/ADE_val_00000001.png',
    ),
    'voc2012': (
        'val',
        'VOC2012/JPEGImages/2007_000033.jpg',
        'VOC2012/SegmentationClass/2007_000033.png',
    ),
    'coco_stuff': (
        'val',
        'images/val2017/000000000139.jpg',
        'annotations/val2017/000000000139.png',
    ),
    'pascal_context': (
        'val',
        'VOC2010/JPEGImages/2008_000002.jpg',
        'VOC2010/SegmentationClassContext/2008_000002.png',
    ),
    'camvid': ('val', 'val/0016E5_2.png', 'valannot/0016E5_2.png'),
    'drive': (
        'test',
        'test/images/01_test.tif',
        'test/1st_manual/01_manual1.gif',
    ),
}
LISTS = {
    'voc2012': 'VOC2012/ImageSets/Segmentation/val.txt',
    'pascal_context': 'VOC2010/ImageSets/SegmentationContext/val.txt',
}


def example_of(dataset, root):
  """Writes a miniature of a data set; returns it and its two files."""
  split, image, mask = LAYOUTS[dataset]
  for path, content in (
      (image, np.zeros((*SIZE, 3), np.uint8)),
      # Where masks mean colours or not, 7 is a class or 0 is.
      (mask, np.full(SIZE, 7 if dataset == 'cityscapes' else 0, np.uint8)),
  ):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(content).save(root / path)
  if dataset in LISTS:
    (root / LISTS[dataset]).parent.mkdir(parents=True)
    (root / LISTS[dataset]).write_text((root / image).stem)
  for marker in ('annotations/training', 'trainannot'):
    (root / marker).mkdir(parents=True, exist_ok=True)
  loaded = datasets.load(dataset, split, str(root))
  return loaded, root / image, root / mask


@pytest.mark.parametrize('dataset', LAYOUTS)
def test_a_mask_in_raw_ids_is_read_as_the_prediction(dataset, tmp_path):
  loaded, image, mask = example_of(dataset, tmp_path / 'data')
  workdir = Workdir(tmp_path / 'run')
  workdir.make()
  workdir.write_labels(loaded.label_map, 3)
  label_map, _ = workdir.read_labels()
  assert label_map == loaded.label_map

  labels = np.arange(np.prod(SIZE)).reshape(SIZE) % label_map.num_classes
  labels = labels.astype(np.uint8)
  scores = semantic.scores(label_map)
  scores.use_raw_ids(raw_ids.find(label_map, dataset))
  output = tmp_path / 'out'
  output.mkdir()
  example = {'name': image.stem, 'raw': np.zeros((*SIZE, 3), np.uint8)}
  scores.write(output, example, {'labels': labels})
  *_, file = scores.files(image.stem)
  with Image.open(output / file) as written:
    assert written.format == 'PNG'
    written.save(mask)  # As the truth.
  np.testing.assert_array_equal(loaded[0]['label'], labels)
  np.testing.assert_array_equal(
      images.read_mask(output / f'{image.stem}.png'), labels
  )


@pytest.mark.parametrize(
    ('dataset', 'ids', 'file'),
    [
        ('cityscapes', (7, 8, 11), 'raw_ids/a.png'),
        ('ade20k', (1, 2, 3), 'raw_ids/a.png'),
        ('coco_stuff', (0, 1, 2), 'raw_ids/a.png'),
        (
            'voc2012',
            (0, 1, 2),
            'results/VOC2012/Segmentation/comp5_test_cls/a.png',
        ),
    ],
)
def test_ids_and_files_are_those_of_the_server(dataset, ids, file):
  raw = raw_ids.find(label_maps.read(dataset), dataset)
  assert raw.ids[:3] == ids
  assert raw.mask('a') == file


def test_only_masks_are_in_the_folder_that_a_server_takes(tmp_path):
  label_map = label_maps.read('cityscapes')
  scores = semantic.scores(label_map)
  scores.use_raw_ids(raw_ids.find(label_map, 'cityscapes'))
  example = {'name': 'a', 'raw': np.zeros((*SIZE, 3), np.uint8)}
  scores.write(tmp_path, example, {'labels': np.zeros(SIZE, np.uint8)})
  assert [path.name for path in (tmp_path / 'raw_ids').iterdir()] == ['a.png']
  with Image.open(tmp_path / 'raw_ids/a.png') as mask:
    assert (mask.mode, mask.getextrema()) == ('L', (7, 7))


def label_map_of(content):
  return label_maps.parse(content, 'dataset.json')


def test_the_first_of_several_ids_stands_for_a_class_and_may_have_16_bits(
    tmp_path,
):
  label_map = label_map_of(
      {
          'classes': [
              {'name': 'a', 'ids': [9, 3]},
              {'name': 'b', 'ids': [4000]},
          ],
          'ignore': [255],
      }
  )
  raw = raw_ids.find(label_map, 'folder')
  labels = np.array([[0, 1, 1]], np.uint8)
  raw.write(tmp_path, 'a', labels)
  mask = images.read_mask(tmp_path / 'raw_ids/a.png')
  assert mask.tolist() == [[9, 4000, 4000]]
  np.testing.assert_array_equal(label_map.apply(mask, 'a'), labels)


@pytest.mark.parametrize(
    ('label_map', 'message'),
    [
        (
            label_map_of(
                {
                    'classes': [
                        {'name': 'a', 'color': [1, 2, 3]},
                        {'name': 'b', 'color': [0, 0, 9]},
                    ]
                }
            ),
            'mean their colours, and its classes have no raw ids',
        ),
        (
            label_map_of(
                {
                    'overlapping': True,
                    'classes': [{'name': 'a'}, {'name': 'b'}],
                }
            ),
            'overlap',
        ),
        (
            LabelMap(names=('a', 'b'), colors=((0, 0, 0), (1, 1, 1)), ids={}),
            "no raw ids from 0 to 65535 of 2 classes, such as 'a'",
        ),
        (
            label_map_of(
                {'classes': [{'name': 'a', 'ids': -1}, {'name': 'b', 'ids': 0}]}
            ),
            "of 1 classes, such as 'a'",
        ),
    ],
)
def test_classes_without_raw_ids_are_refused(label_map, message):
  with pytest.raises(ValueError, match=message):
    raw_ids.find(label_map, 'folder')


@pytest.mark.parametrize('task', [boundaries, multilabel])
def test_tasks_without_a_class_for_each_pixel_refuse_raw_ids(task):
  label_map = label_maps.read('voc2012')
  scores = task.scores(label_map)
  with pytest.raises(ValueError, match='leave --raw_ids out'):
    scores.use_raw_ids(raw_ids.find(label_map, 'voc2012'))


OBJECTS = LabelMap(
    names=('road', 'person', 'car'),
    colors=((128, 64, 128), (220, 20, 60), (0, 0, 142)),
    ids={7: 0, 24: 1, 26: 2},
    things=(1, 2),
)


def detections():
  return {
      'boxes': np.array([[1, 2, 7, 9], [2, 3, 10, 18]], np.float32),
      'classes': np.array([1, 2], np.uint8),
      'scores': np.array([0.9, 0.6], np.float32),
      'masks': np.ones((2, 4, 4), np.float32),
  }


def test_objects_are_written_as_cityscapes_asks(tmp_path):
  scores = instances.scores(OBJECTS)
  scores.use_raw_ids(raw_ids.find(OBJECTS, 'cityscapes'))
  name = 'ulm_000000_000019_leftImg8bit'
  example = {'name': name, 'raw': np.zeros((*SIZE, 3), np.uint8)}
  assert f'raw_ids/{name}.txt' in scores.files(name)
  scores.write(tmp_path, example, detections())
  scores.finish(tmp_path)
  lines = (tmp_path / f'raw_ids/{name}.txt').read_text().splitlines()
  entries = json.loads((tmp_path / 'instances.json').read_text())
  assert len(lines) == len(entries) == 2
  for line, entry, kind in zip(lines, entries, (24, 26), strict=True):
    file, category, score = line.split()
    assert int(category) == entry['category_id'] == kind
    assert float(score) == pytest.approx(entry['score'], abs=1e-6)
    assert entry['image_id'] == 'ulm_000000_000019'
    mask = images.read_mask(tmp_path / 'raw_ids' / file)
    assert set(np.unique(mask)) == {0, 255}
  other = instances.scores(OBJECTS)
  assert other.resume(tmp_path) == {name}


def test_segments_have_raw_ids_and_images_the_numbers_of_coco(tmp_path):
  scores = panoptic.scores(OBJECTS)
  scores.use_raw_ids(raw_ids.find(OBJECTS, 'folder'))
  name = '000000000139'
  segments = np.zeros(SIZE, np.int32)
  segments[:, 5:] = 2
  segments[3:6, 8:12] = 1
  prediction = {
      'segments': segments,
      'classes': np.array([2, 0], np.uint8),
      'scores': np.array([0.7, 0.5], np.float32),
  }
  example = {'name': name, 'raw': np.zeros((*SIZE, 3), np.uint8)}
  scores.write(tmp_path, example, prediction)
  scores.finish(tmp_path)
  content = json.loads((tmp_path / 'panoptic.json').read_text())
  assert [c['id'] for c in content['categories']] == [7, 24, 26]
  (annotation,) = content['annotations']
  assert annotation['image_id'] == content['images'][0]['id'] == 139
  car, road = annotation['segments_info']
  assert (car['category_id'], road['category_id']) == (26, 7)
  assert (car['area'], car['bbox']) == (12, [8, 3, 4, 3])
  assert road['area'] == SIZE[0] * 15 - 12
  assert panoptic.scores(OBJECTS).resume(tmp_path) == {name}
  overlay = images.read_image(tmp_path / f'{name}_overlay.png')
  assert overlay.shape[0] > SIZE[0]  # It has a legend.
