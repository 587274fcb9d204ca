import json
import sys

import numpy as np
import pytest
import rasterio
import rasterio.features

from segjax.artifacts import polygons
from segjax.data import coco_masks
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.tasks import instances
from segjax.tasks import multilabel
from segjax.tasks import panoptic
from segjax.tasks import semantic

LABELS = LabelMap(
    names=('ground', 'house', 'tree'),
    colors=((90, 90, 90), (200, 0, 0), (0, 200, 0)),
    ids={10: 0, 20: 1, 30: 2},
    things=(1, 2),
)
SIZE = 33, 47
RAW = RawIds((10, 20, 30), LABELS.colors)


@pytest.fixture(scope='module')
def labels():
  """Noise: regions with holes, and pixels that touch at corners."""
  noise = np.random.default_rng(0).integers(0, 3, SIZE)
  noise[5:20, 5:30] = 1
  noise[8:15, 10:20] = 2
  noise[10:12, 12:15] = 0
  return noise.astype(np.uint8)


def written(fmt, segments, tmp_path, names=('a',), raw_ids=None):
  sources = {name: tmp_path / f'{name}.png' for name in names}
  writer = polygons.writer(fmt, LABELS, sources, raw_ids)
  for name in names:
    writer.write(tmp_path, name, SIZE, list(segments))
  writer.finish(tmp_path)
  path = tmp_path / (writer.summary or f'{names[0]}.geojson')
  return json.loads(path.read_text())


def mask_of(annotation):
  """Returns the mask of an entry of COCO, as COCO's tools read it."""
  segmentation = annotation['segmentation']
  if isinstance(segmentation, dict):
    return coco_masks.decode(segmentation)
  filled = [
      coco_masks.fill_polygon(np.reshape(outline, (-1, 2)), SIZE)
      for outline in segmentation
  ]
  return np.any(filled, 0)


def test_geojson_filled_again_is_the_label_map(labels, tmp_path):
  content = written('geojson', polygons.of_labels(labels), tmp_path)
  assert content['type'] == 'FeatureCollection'
  assert 'crs' not in content
  shapes = [
      (f['geometry'], 1 + f['properties']['category_id'])
      for f in content['features']
  ]
  assert any(len(shape['coordinates']) > 1 for shape, _ in shapes)
  again = rasterio.features.rasterize(shapes, out_shape=SIZE)
  np.testing.assert_array_equal(again, 1 + labels)
  for feature in content['features']:
    kind = feature['properties']['category_id']
    assert feature['properties']['category'] == LABELS.names[kind]


def test_coco_filled_again_is_the_label_map(labels, tmp_path):
  content = written('coco', polygons.of_labels(labels), tmp_path)
  assert content['images'] == [
      {'id': 1, 'file_name': 'a.png', 'height': SIZE[0], 'width': SIZE[1]}
  ]
  again = np.zeros(SIZE, np.uint8)
  kinds = set()
  for annotation in content['annotations']:
    mask = mask_of(annotation)
    kinds.add(type(annotation['segmentation']))
    assert annotation['area'] == mask.sum()
    rows, columns = np.nonzero(mask)
    x, y, width, height = annotation['bbox']
    assert (x, x + width) == (columns.min(), columns.max() + 1)
    assert (y, y + height) == (rows.min(), rows.max() + 1)
    again[mask] += 1 + annotation['category_id']
  assert kinds == {list, dict}
  np.testing.assert_array_equal(again, 1 + labels)
  ids = [annotation['id'] for annotation in content['annotations']]
  assert ids == list(range(1, len(ids) + 1))


def two_parts():
  mask = np.zeros(SIZE, bool)
  mask[2:6, 3:9] = mask[10:14, 20:30] = True
  return mask


@pytest.mark.parametrize('fmt', polygons.FORMATS)
def test_an_object_in_two_parts_is_one_entry(fmt, tmp_path):
  segments = [polygons.Segment(1, two_parts(), 0.75)]
  content = written(fmt, segments, tmp_path)
  if fmt == 'coco':
    (entry,) = content['annotations']
    assert len(entry['segmentation']) == 2
    np.testing.assert_array_equal(mask_of(entry), two_parts())
    assert entry['score'] == 0.75
  else:
    (entry,) = content['features']
    assert entry['geometry']['type'] == 'MultiPolygon'
    assert entry['properties']['score'] == 0.75


def test_raw_ids_tell_classes_and_the_images_of_coco(tmp_path):
  segments = [polygons.Segment(1, two_parts())]
  name = '000000000139'
  content = written('coco', segments, tmp_path, [name], RAW)
  assert [c['id'] for c in content['categories']] == [10, 20, 30]
  assert {a['category_id'] for a in content['annotations']} == {20}
  assert {a['image_id'] for a in content['annotations']} == {139}


def test_a_second_call_keeps_the_annotations_of_the_first(tmp_path):
  segments = [polygons.Segment(1, two_parts())]
  before = written('coco', segments, tmp_path, ['a'])
  sources = {name: tmp_path / f'{name}.png' for name in 'ab'}
  writer = polygons.writer('coco', LABELS, sources)
  assert writer.resume(tmp_path) == {'a'}
  writer.write(tmp_path, 'b', SIZE, segments)
  writer.finish(tmp_path)
  after = json.loads((tmp_path / 'polygons.json').read_text())
  count = len(before['annotations'])
  assert after['annotations'][:count] == before['annotations']
  assert [a['image_id'] for a in after['annotations']] == [1, 1, 2, 2]


@pytest.mark.parametrize('crs', ['EPSG:32632', None])
def test_a_georeferenced_image_has_polygons_on_the_map(crs, labels, tmp_path):
  path = tmp_path / 'map.tif'
  transform = rasterio.Affine(0.5, 0, 399_000.0, 0, -0.5, 5_600_000.0)
  with rasterio.open(
      *(path, 'w', 'GTiff', SIZE[1], SIZE[0], 1),
      dtype='uint8',
      crs=crs,
      transform=transform,
  ) as file:
    file.write(labels, 1)
  writer = polygons.writer('geojson', LABELS, {'map': path})
  writer.write(tmp_path, 'map', SIZE, polygons.of_labels(labels))
  content = json.loads((tmp_path / 'map.geojson').read_text())
  shapes = [
      (f['geometry'], 1 + f['properties']['category_id'])
      for f in content['features']
  ]
  again = rasterio.features.rasterize(
      shapes, out_shape=SIZE, transform=transform
  )
  np.testing.assert_array_equal(again, 1 + labels)
  name = content.get('crs', {}).get('properties', {}).get('name')
  assert name == (crs and 'urn:ogc:def:crs:EPSG::32632')


def test_tasks_tell_their_segments(labels):
  example = {'raw': np.zeros((*SIZE, 3), np.uint8)}
  of_pixels = list(
      semantic.scores(LABELS).segments(example, {'labels': labels})
  )
  assert [s.category for s in of_pixels] == [0, 1, 2]
  np.testing.assert_array_equal(of_pixels[2].mask, labels == 2)

  bits = np.stack([labels == 0, labels >= 1, labels >= 0], -1).astype(np.uint8)
  overlapping = list(
      multilabel.scores(LABELS).segments(example, {'labels': bits})
  )
  assert overlapping[2].mask.all()

  found = {
      'boxes': np.array([[2, 3, 9, 11], [0, 0, 4, 4]], np.float32),
      'classes': np.array([2, 1], np.uint8),
      'scores': np.array([0.5, 0], np.float32),
  }
  (box,) = instances.scores(LABELS).segments(example, found)
  assert (box.category, box.score, box.mask.sum()) == (2, 0.5, 7 * 8)

  segments = {
      'segments': np.where(labels == 1, 3, 0),
      'classes': np.array([0, 0, 1], np.uint8),
      'scores': np.array([0, 0, 0.25], np.float32),
  }
  (one,) = panoptic.scores(LABELS).segments(example, segments)
  assert (one.category, one.score) == (1, 0.25)
  np.testing.assert_array_equal(one.mask, labels == 1)


def test_an_unknown_format_and_a_missing_package_are_told(
    tmp_path, monkeypatch
):
  with pytest.raises(ValueError, match='written as coco or geojson'):
    polygons.writer('kml', LABELS, {})
  monkeypatch.setitem(sys.modules, 'rasterio.features', None)
  with pytest.raises(ValueError, match=r"pip install 'segjax\[raster\]'"):
    polygons.writer('coco', LABELS, {})
