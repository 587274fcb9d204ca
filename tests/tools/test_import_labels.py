"""Miniatures in the formats of other programs become a data set."""

import base64
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import tifffile

from segjax.data import coco_masks
from segjax.data import datasets
from segjax.data import image
from segjax.doctor import data
from segjax.tools import import_labels as import_tool
from segjax.tools.import_labels import import_labels
from segjax.tools.import_labels import main
from tests import tiny

SIZE = 12, 16
PIXELS = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)


def photo(path, pixels=PIXELS):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(pixels).save(path)


def box(x0, y0, x1, y1):
  """Returns the flat list of corners of a rectangle."""
  return [x0, y0, x1, y0, x1, y1, x0, y1]


def pairs(flat):
  return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def filled(*boxes):
  """Returns ids [H, W] of boxes x0 y0 x1 y1, later ones on top."""
  ids = np.zeros(SIZE, int)
  for number, (x0, y0, x1, y1) in enumerate(boxes, 1):
    ids[y0:y1, x0:x1] = number
  return ids


def load(root, split='train'):
  return datasets.load('folder', split, root, instances=True)


def kinds(example):
  """Returns the classes of the objects of an example."""
  return example['instance_classes'][: example['instances'].max()].tolist()


def png(array):
  buffer = io.BytesIO()
  Image.fromarray(array).save(buffer, 'png')
  return base64.b64encode(buffer.getvalue()).decode()


# COCO's instances: two cars that overlap, one in two pieces, a dog in
# compressed runs and a group in plain ones.
def coco(root, annotations=None, folder='val2017'):
  photo(root / folder / 'a.png')
  photo(root / folder / 'b.png', 255 - PIXELS)
  dog, group = filled((12, 8, 15, 11)) > 0, filled((0, 0, 16, 2)) > 0
  plain = {'size': list(SIZE), 'counts': coco_masks.run_lengths(group)}
  if annotations is None:
    annotations = [
        dict(category_id=3, segmentation=[box(4, 4, 6, 6), box(8, 4, 9, 6)]),
        dict(category_id=3, segmentation=[box(2, 3, 10, 9)]),
        dict(category_id=18, segmentation=coco_masks.encode(dog)),
        dict(category_id=18, segmentation=plain, iscrowd=1),
        dict(category_id=3, bbox=[1, 1, 2, 2]),
        dict(category_id=99, segmentation=[box(0, 0, 4, 4)]),
        dict(category_id=3, segmentation=[box(-9, 10, 3, 40)]),
        dict(category_id=3, segmentation=[box(20, 20, 30, 30)]),
    ]
  content = {
      'images': [
          dict(id=i, file_name=f'{name}.png', height=12, width=16)
          for i, name in ((7, 'a'), (8, 'b'), (9, 'lost'))
      ],
      'annotations': [a | {'image_id': 7} for a in annotations],
      'categories': [dict(id=3, name='car'), dict(id=18, name='dog')],
  }
  path = root / 'annotations/instances_val2017.json'
  path.parent.mkdir(exist_ok=True)
  path.write_text(json.dumps(content))
  return path


def test_coco_instances(tmp_path):
  coco(tmp_path / 'coco')
  report = import_labels('coco', tmp_path / 'coco', tmp_path / 'out')
  dataset = load(tmp_path / 'out', 'val')
  assert dataset.label_map.names == ('background', 'car', 'dog')
  assert dataset.label_map.things == (1, 2)
  assert [e.name for e in dataset.examples] == ['a', 'b']
  example, empty = dataset
  # From the bottom: the group, and objects from the largest to the smallest.
  label = filled((0, 0, 16, 2), (2, 3, 10, 9), (4, 4, 6, 6), (8, 4, 9, 6))
  label[10:12, :3], label[8:11, 12:15] = 5, 6
  ids = np.array([0, 1, 2, 4, 4, 5, 3])[label]
  assert example['instances'].tolist() == ids.tolist()
  assert kinds(example) == [2, 1, 2, 1, 1]
  assert example['instance_crowds'][:5].tolist() == [1, 0, 0, 0, 0]
  assert not empty['label'].any()
  assert (example['image'] == PIXELS).all()
  for words in (
      '1 images that are missing',
      '1 boxes without an outline',
      '1 regions of an unknown category',
      '2 regions that leave the image',
      '1 regions that cover no pixel',
      '1 regions that lie partly on top',
      '1 groups of objects',
      '1 images without a region: b',
      'car       ',
  ):
    assert words in report


def test_coco_beside_the_images_of_each_split(tmp_path):
  for split in ('train', 'valid'):
    path = coco(tmp_path / 'coco', folder=split)
    path.rename(tmp_path / 'coco' / split / '_annotations.coco.json')
  import_labels('coco', tmp_path / 'coco', tmp_path / 'out', stuff=('dog',))
  assert load(tmp_path / 'out', 'val').label_map.things == (1,)
  assert len(load(tmp_path / 'out')) == 2


def panoptic(root):
  photo(root / 'train2017/a.jpg')
  colors = np.zeros((*SIZE, 3), np.uint8)
  colors[:6], colors[6:, :8], colors[8:10, 2:4] = (
      (7, 0, 0),
      (1, 1, 0),
      (0, 0, 1),
  )
  photo(root / 'annotations/panoptic_train2017/a.png', colors)
  infos = [
      dict(id=7, category_id=200, iscrowd=0),
      dict(id=257, category_id=1, iscrowd=0),
      dict(id=65536, category_id=1, iscrowd=1),
  ]
  entry = dict(image_id=1, file_name='a.png', segments_info=infos)
  content = {
      'images': [dict(id=1, file_name='a.jpg', height=12, width=16)],
      'annotations': [entry],
      'categories': [
          dict(id=1, name='person', isthing=1, color=[220, 20, 60]),
          dict(id=200, name='rug', isthing=0, color=[9, 9, 9]),
      ],
  }
  path = root / 'annotations/panoptic_train2017.json'
  path.write_text(json.dumps(content))
  return path


def test_coco_panoptic(tmp_path):
  panoptic(tmp_path / 'coco')
  import_labels('coco', tmp_path / 'coco', tmp_path / 'out')
  dataset = load(tmp_path / 'out')
  assert dataset.label_map.names == ('rug', 'person')
  assert dataset.label_map.colors == ((9, 9, 9), (220, 20, 60))
  assert dataset.label_map.things == (1,)
  example = dataset[0]
  expected = np.full(SIZE, 255)
  expected[:6], expected[6:, :8] = 0, 1
  assert example['label'].tolist() == expected.tolist()
  assert example['instances'].max() == 2
  assert sorted(example['instance_crowds'][:2].tolist()) == [0, 1]


def labelme(root):
  shapes = [
      dict(label='road', points=pairs(box(0, 6, 16, 12))),
      dict(
          label='car',
          points=[[2, 5], [7, 9]],
          shape_type='rectangle',
          group_id=None,
      ),
      dict(label='car', points=pairs(box(9, 7, 11, 9)), group_id=4),
      dict(label='car', points=pairs(box(12, 7, 14, 9)), group_id=4),
      dict(label='pole', points=[[12, 2], [12, 4]], shape_type='circle'),
      dict(
          label='dog',
          points=[[1.0, 1.0], [3.0, 2.0]],
          shape_type='mask',
          mask=png(np.array([[255, 0, 255], [255, 255, 0]], np.uint8)),
      ),
      dict(label='car', points=[[0, 0], [5, 5]], shape_type='line'),
      dict(label='__ignore__', points=pairs(box(0, 11, 16, 12))),
  ]
  photo(root / 'a.png')
  photo(root / 'unlabelled.png')
  content = dict(
      shapes=shapes,
      imagePath='..\\drawn\\a.png',
      imageData=None,
      imageHeight=12,
      imageWidth=16,
  )
  (root / 'a.json').write_text(json.dumps(content))
  content |= dict(imagePath='b.png', imageData=png(PIXELS), shapes=shapes[:1])
  (root / 'b.json').write_text(json.dumps(content))
  (root / 'other.json').write_text('[1]')
  (root / 'damaged.json').write_text('{"shapes": [')


def test_labelme(tmp_path):
  labelme(tmp_path / 'drawn')
  report = import_labels(
      'labelme', tmp_path / 'drawn', tmp_path / 'out', stuff=('road',)
  )
  dataset = load(tmp_path / 'out')
  names = dataset.label_map.names
  assert names == ('background', 'car', 'dog', 'pole', 'road')
  assert dataset.label_map.things == (1, 2, 3)
  example, embedded = dataset
  label = filled((0, 6, 16, 12), (2, 5, 7, 9), (9, 7, 11, 9), (12, 7, 14, 9))
  label[11] = 7
  label[1, [1, 3]] = label[2, [1, 2]] = 5
  pole = example['label'] == 3
  assert pole[2, 12]
  assert 9 <= pole.sum() <= 16  # A circle of radius 2.
  train_ids = np.array([0, 4, 1, 1, 1, 2, 0, 255])[label]
  assert (example['label'] == train_ids)[~pole].all()
  assert kinds(example) == [1, 1, 3, 2]
  assert (embedded['image'] == PIXELS).all()
  assert "1 shapes 'line', which have no area" in report
  assert '1 images without a file' in report
  assert "1 JSON files that are not labelme's" in report
  assert '1 JSON files that are damaged, left out' in report


def test_a_photo_that_is_shown_turned_is_written_as_it_was_labelled(tmp_path):
  root = tmp_path / 'drawn'
  labelme(root)
  exif = Image.Exif()
  exif[0x0112] = 6
  stored = np.rot90(PIXELS).copy()  # Shown turned back.
  (root / 'a.png').unlink()
  Image.fromarray(stored).save(root / 'a.png', exif=exif)
  report = import_labels('labelme', root, tmp_path / 'out')
  assert '1 images that EXIF turned, written upright: a' in report
  example = load(tmp_path / 'out')[0]
  assert example['image'].tolist() == PIXELS.tolist()
  assert example['label'].shape == SIZE


def test_yolo(tmp_path):
  root = tmp_path / 'yolo'
  for split, name in (('train', 'a'), ('train', 'empty'), ('valid', 'c')):
    photo(root / split / 'images' / f'{name}.png')
  corners = np.reshape(box(2, 3, 10, 9), (-1, 2)) / (16, 12)
  line = ' '.join(f'{v:.6f}' for v in corners.ravel())
  for split, name in (('train', 'a'), ('valid', 'c')):
    path = root / split / 'labels' / f'{name}.txt'
    path.parent.mkdir()
    path.write_text(f'1 {line}\n0 0.5 0.5 0.1 0.1\n7 {line}\n1 0.1 x\n')
  (root / 'data.yaml').write_text(
      'train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n'
  )
  report = import_labels('yolo', root, tmp_path / 'out')
  example, empty = load(tmp_path / 'out')
  assert example['label'].tolist() == (2 * filled((2, 3, 10, 9))).tolist()
  assert kinds(example) == [2]
  assert not empty['label'].any()
  assert len(load(tmp_path / 'out', 'val')) == 1
  for words in (
      '1 images without a file of labels, taken as empty',
      '1 boxes without an outline',
      '1 lines of an unknown class',
      '1 lines that are no numbers',
  ):
    assert words in report


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><job><labels>
<label><name>car</name><color>#ff6037</color></label>
<label><name>sky</name><color>#0000c8</color></label>
</labels></job></meta>
<image id="0" name="sub/a.png" width="16" height="12" subset="Validation">
<polygon label="car" z_order="2" points="3,3;6,3;6,9;3,9"></polygon>
<box label="sky" z_order="0" xtl="0" ytl="0" xbr="16" ybr="5"></box>
<mask label="car" rle="1, 2, 1, 2" left="10" top="8" width="3" height="2"
 z_order="1"></mask>
<ellipse label="car" cx="13" cy="3" rx="2" ry="1" z_order="1"></ellipse>
<polyline label="car" points="1,1;4,4" z_order="0"></polyline>
</image>
<image id="1" name="lost.png" width="16" height="12"></image>
</annotations>
"""


def test_cvat_for_images(tmp_path):
  root = tmp_path / 'cvat'
  photo(root / 'images/sub/a.png')
  photo(root / 'images/other/a.png', 255 - PIXELS)
  (root / 'annotations.xml').write_text(CVAT)
  report = import_labels('cvat', root, tmp_path / 'out', stuff=('sky',))
  dataset = load(tmp_path / 'out', 'val')
  assert dataset.label_map.colors[1:] == ((255, 96, 55), (0, 0, 200))
  example = dataset[0]
  assert example['name'] == 'sub/a'
  assert (example['image'] == PIXELS).all()
  label = 2 * filled((0, 0, 16, 5))
  label[3:9, 3:6] = label[8, 11:13] = label[9, 11:13] = label[9, 10] = 1
  label[9, 10], label[9, 11:13], label[8, 11:13] = 0, 1, 1
  ellipse = example['label'][1:5, 10:16] == 1
  assert 4 <= ellipse.sum() <= 10
  rest = np.ones(SIZE, bool)
  rest[1:5, 10:16] = False
  assert (example['label'] == label)[rest].all()
  assert kinds(example) == [1, 1, 1]
  assert "1 shapes 'polyline'" in report
  assert '1 images that are missing, left out: lost.png' in report


def test_cvat_segmentation_masks(tmp_path):
  root = tmp_path / 'SegmentationClass' / 'cvat'
  photo(root / 'JPEGImages/a.png')
  classes = np.zeros((*SIZE, 3), np.uint8)
  classes[2:6, 2:10], classes[11, 0] = (250, 50, 83), (1, 1, 1)
  photo(root / 'SegmentationClass/a.png', classes)
  members = np.zeros((*SIZE, 3), np.uint8)
  members[2:6, 2:6], members[2:6, 6:10] = (128, 0, 0), (0, 128, 0)
  photo(root / 'SegmentationObject/a.png', members)
  (root / 'labelmap.txt').write_text(
      '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n'
  )
  import_labels('cvat', root, tmp_path / 'out')
  example = load(tmp_path / 'out')[0]
  label = filled((2, 2, 10, 6))
  label[11, 0] = 255
  assert example['label'].tolist() == label.tolist()
  assert kinds(example) == [1, 1]

  (root / 'labelmap.txt').write_bytes('stra\u00dfe:1,2,3::'.encode('latin-1'))
  with pytest.raises(ValueError, match='labelmap.txt: not UTF-8, .* byte 4'):
    import_labels('cvat', root, tmp_path / 'other')


def geojson(path, kind='house', crs=None, scale=1.0, shift=0.0):
  outline = np.reshape(box(2, 3, 10, 9), (-1, 2)) * scale + shift
  hole = np.reshape(box(4, 4, 6, 6), (-1, 2)) * scale + shift
  rings = [[*ring.tolist(), ring[0].tolist()] for ring in (outline, hole)]
  feature = {
      'type': 'Feature',
      'properties': {'classification': {'name': kind}},
      'geometry': {'type': 'MultiPolygon', 'coordinates': [rings]},
  }
  point = {'type': 'Point', 'coordinates': [1, 1]}
  features = [feature, feature | {'geometry': point}]
  content = {'type': 'FeatureCollection', 'features': features}
  if crs:
    content['crs'] = {'type': 'name', 'properties': {'name': crs}}
  path.write_text(json.dumps(content))


HOUSE = filled((2, 3, 10, 9)) - filled((4, 4, 6, 6))


def test_geojson_in_pixels(tmp_path):
  photo(tmp_path / 'in/train/a.png')
  geojson(tmp_path / 'in/train/a.geojson')
  report = import_labels('geojson', tmp_path / 'in', tmp_path / 'out')
  dataset = load(tmp_path / 'out')
  assert dataset.label_map.names == ('background', 'house')
  assert dataset[0]['label'].tolist() == HOUSE.tolist()
  assert kinds(dataset[0]) == [1]
  assert "1 geometries 'Point'" in report


def map_tile(path, system=32633):
  """Writes a TIFF of half a metre a pixel that tells where it lies."""
  keys = (1, 1, 0, 2, 1025, 0, 1, 1, 3072, 0, 1, system)
  tifffile.imwrite(
      path,
      PIXELS,
      extratags=[
          (33550, 12, 3, (0.5, 0.5, 0.0), False),
          (33922, 12, 6, (0.0, 0.0, 0.0, 400_000.0, 5_000_000.0, 0.0), False),
          (34735, 3, len(keys), keys, False),
      ],
  )


def test_geojson_on_a_map(tmp_path):
  (tmp_path / 'in').mkdir()
  map_tile(tmp_path / 'in/a.tif')
  path = tmp_path / 'in/a.geojson'
  place = dict(scale=(0.5, -0.5), shift=(400_000, 5_000_000))
  geojson(path, crs='urn:ogc:def:crs:EPSG::32633', **place)
  import_labels('geojson', tmp_path / 'in', tmp_path / 'out')
  example = load(tmp_path / 'out')[0]
  assert example['label'].tolist() == HOUSE.tolist()
  geojson(path, **place)  # Without its system it is in degrees.
  with pytest.raises(ValueError, match='EPSG:4326.*in EPSG:32633'):
    import_labels('geojson', tmp_path / 'in', tmp_path / 'out2')
  assert not list((tmp_path / 'out2').glob('.*'))


def test_folders_of_masks_in_colours(tmp_path):
  root = tmp_path / 'voc'
  photo(root / 'JPEGImages/a.jpg')
  colors = np.zeros((*SIZE, 3), np.uint8)
  colors[2:4] = 200, 0, 0
  photo(root / 'SegmentationClass/a.png', colors)
  import_labels('folder', root, tmp_path / 'out')
  dataset = datasets.load('folder', 'train', tmp_path / 'out')
  assert dataset.label_map.names == ('color 0 0 0', 'color 200 0 0')
  assert dataset[0]['label'].tolist() == filled((0, 2, 16, 4)).tolist()
  assert not (tmp_path / 'out/train/instances').exists()


def test_folders_of_masks_and_objects(tmp_path):
  root = tmp_path / 'mine'
  for split in ('train', 'valid'):
    photo(root / split / 'imgs/a.png')
    mask = np.where(filled((2, 2, 10, 6)) > 0, 40, 7).astype(np.uint8)
    mask[0] = 99
    image.write_png(root / split / 'imgs/a.png', PIXELS)
    (root / split / 'labels').mkdir()
    image.write_png(root / split / 'labels/a.png', mask)
    (root / split / 'instances').mkdir()
    ids = filled((2, 2, 6, 6), (6, 2, 10, 6)).astype(np.uint16) * 300
    image.write_png(root / split / 'instances/a.png', ids)
  (root / 'dataset.json').write_text(
      '{"classes": [{"name": "road", "ids": [7]}, {"name": "car", "ids": [40],'
      ' "thing": true}], "ignore": [99]}'
  )
  import_labels('folder', root, tmp_path / 'out')
  example = load(tmp_path / 'out', 'val')[0]
  label = filled((2, 2, 10, 6))
  label[0] = 255
  assert example['label'].tolist() == label.tolist()
  assert kinds(example) == [1, 1]


def test_nothing_that_is_there_is_touched(tmp_path):
  labelme(tmp_path / 'drawn')
  import_labels('labelme', tmp_path / 'drawn', tmp_path / 'out', link=True)
  assert (tmp_path / 'out/train/images/a.png').is_symlink()
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(FileExistsError, match='is not touched'):
    import_labels('labelme', tmp_path / 'drawn', tmp_path / 'out')
  assert sorted(tmp_path.rglob('*')) == before
  # Another split has the classes of the first, even if it shows fewer.
  coco(tmp_path / 'coco', [dict(category_id=3, segmentation=[box(2, 3, 9, 9)])])
  import_labels('coco', tmp_path / 'coco', tmp_path / 'out', split='held_out')
  assert kinds(load(tmp_path / 'out', 'held_out')[0]) == [1]
  panoptic(tmp_path / 'panoptic')
  given = 'coco', tmp_path / 'panoptic', tmp_path / 'out'
  with pytest.raises(ValueError, match="no class 'rug' of the labels"):
    import_labels(*given, split='more')


def test_classes_are_chosen_ordered_and_ignored(tmp_path):
  labelme(tmp_path / 'drawn')
  report = import_labels(
      'labelme',
      tmp_path / 'drawn',
      tmp_path / 'out',
      classes=('pole', 'car'),
      ignored=('road',),
  )
  dataset = load(tmp_path / 'out')
  assert dataset.label_map.names == ('background', 'pole', 'car')
  label = dataset[0]['label']
  assert label[10, 0] == 255
  assert label[7, 3] == 2
  assert "1 regions of the class 'dog', which is not taken: a" in report
  with pytest.raises(ValueError, match="--classes: there is no class 'cow'"):
    import_labels(
        'labelme', tmp_path / 'drawn', tmp_path / 'more', classes=('cow',)
    )


@pytest.mark.parametrize(
    ('name', 'make', 'words'),
    [
        (
            'coco',
            lambda p: (p / 'a.json').write_text('{"images": []}'),
            'no fil',
        ),
        ('coco', lambda p: (p / 'a.json').write_text('{'), 'not JSON'),
        ('coco', lambda p: None, 'has no JSON files'),
        ('labelme', lambda p: None, "no files of labelme's"),
        ('yolo', lambda p: None, "no YAML file with 'names'"),
        ('cvat', lambda p: None, 'has 0 XML files'),
        ('cvat', lambda p: (p / 'a.xml').write_text('<a>'), 'not XML'),
        ('geojson', lambda p: None, 'no GeoJSON files'),
        ('folder', lambda p: None, 'has images'),
    ],
)
def test_what_is_in_no_such_format_is_said(tmp_path, name, make, words):
  source = tmp_path / 'in'
  source.mkdir()
  make(source)
  with pytest.raises((ValueError, OSError), match=words):
    import_labels(name, source, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_the_command_and_the_doctor_after_it(tmp_path):
  coco(tmp_path / 'coco')
  command = [sys.executable, '-m', 'segjax.tools.import_labels', '--from=coco']
  paths = [str(tmp_path / 'coco'), str(tmp_path / 'out')]
  root = pathlib.Path(__file__).parents[2]
  result = subprocess.run(
      [*command, *paths], cwd=root, capture_output=True, text=True
  )
  assert result.returncode == 0, result.stderr
  assert 'out/val: 2 images' in result.stdout
  import_labels('coco', tmp_path / 'coco', tmp_path / 'out', split='train')
  config = tiny.get_config('folder')
  config.data_dir = paths[1]
  config.dataset.options = dict(instances=True)
  report, problems = data.check(config)
  assert not problems.errors
  assert 'car' in report
  with pytest.raises(SystemExit, match='^segjax: .* is not touched'):
    main('coco', paths)


BITS = {'road': ('road',), 'vehicle': ('car', 'bicyclist'), 'green': ('tree',)}
# Ids of CamVid: sky 0, road 3, tree 5, car 8, bicyclist 10, ignored 11.
CAMVID = filled((0, 0, 16, 4)) * 5 + filled((0, 6, 16, 12)) * 3
CAMVID[8:10, 2:5], CAMVID[8:10, 8:9], CAMVID[11, 15] = 8, 10, 11


def camvid(root, splits=('train', 'val')):
  for split in splits:
    photo(root / split / 'a.png')
    photo(root / f'{split}annot' / 'a.png', CAMVID.astype(np.uint8))


def test_a_set_that_is_known_becomes_one_of_classes_that_overlap(tmp_path):
  camvid(tmp_path / 'CamVid')
  told = import_labels(
      'data_set',
      tmp_path / 'CamVid',
      tmp_path / 'bits',
      data_set='camvid',
      overlapping=BITS,
  )
  assert 'split test is not there' in told
  assert f'green   {64 / 192:8.3%} of the pixels' in told
  for split in ('train', 'val'):
    dataset = datasets.load('folder', split, str(tmp_path / 'bits'))
    assert dataset.label_map.overlapping
    assert dataset.label_map.names == ('road', 'vehicle', 'green')
    label = dataset[0]['label']
    known = CAMVID != 11
    for k, ids in enumerate(([3], [8, 10], [5])):
      np.testing.assert_array_equal(
          label[..., k][known], np.isin(CAMVID, ids)[known]
      )
    assert (label[~known] == 255).all()


def test_regions_hide_nothing_where_classes_overlap(tmp_path):
  photo(tmp_path / 'drawn' / 'a.png')
  shapes = [
      {'label': name, 'points': pairs(box(*corners)), 'shape_type': 'polygon'}
      for name, corners in (('wall', (0, 0, 8, 8)), ('door', (2, 2, 6, 6)))
  ]
  content = {'imagePath': 'a.png', 'shapes': shapes}
  content |= {'imageHeight': 12, 'imageWidth': 16}
  (tmp_path / 'drawn' / 'a.json').write_text(json.dumps(content))
  import_labels(
      'labelme',
      tmp_path / 'drawn',
      tmp_path / 'bits',
      overlapping={'house': ('wall', 'door'), 'door': ('door',)},
  )
  label = datasets.load('folder', 'train', str(tmp_path / 'bits'))[0]['label']
  house, door = label[..., 0], label[..., 1]
  np.testing.assert_array_equal(house, filled((0, 0, 8, 8)))
  np.testing.assert_array_equal(door, filled((2, 2, 6, 6)))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(overlapping={'road': ('rode',)}), "road: .* no class 'rode'"),
        (dict(overlapping=BITS, classes=('road',)), 'leave out --classes'),
        (dict(data_set=''), 'name the set with --data_set'),
        (dict(data_set='shapes'), 'no file of labels'),
    ],
)
def test_overlapping_classes_that_cannot_be_are_refused(
    tmp_path, options, message
):
  camvid(tmp_path / 'CamVid', ('train',))
  options = {'data_set': 'camvid', **options}
  with pytest.raises(ValueError, match=message):
    import_labels('data_set', tmp_path / 'CamVid', tmp_path / 'bits', **options)


def test_groups_of_classes_are_read():
  groups = import_tool.read_groups(['road', 'vehicle=car + bus'])
  assert groups == {'road': ('road',), 'vehicle': ('car', 'bus')}
  with pytest.raises(ValueError, match='each class is named once'):
    import_tool.read_groups(['road', 'road=car'])
