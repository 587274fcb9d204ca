"""Rasters are predicted by windows as whole images are, and stay in place."""

import json

import numpy as np
import pytest
import rasterio
import rasterio.features

from segjax import experiment
from segjax import predict
from segjax import predict_windows
from segjax.artifacts import prediction_folder
from segjax.data import image as images
from segjax.data import values
from segjax.data.datasets import shapes
from tests import saved_run
from tests import tiny

SIZE = 75, 110
OPTIONS = dict(mode='slide', window=(32, 40), stride=(24, 25), weights='hann')
TRANSFORM = rasterio.Affine(0.5, 0, 399_000.0, 0, -0.5, 5_600_000.0)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, random_variables):
  """A run with weights of no meaning."""
  config = tiny.get_config()
  model = experiment.model(config, shapes.LABEL_MAP)
  workdir = saved_run.save(
      tmp_path_factory.mktemp('run'),
      config,
      random_variables(model, (1, 32, 48, 3)),
      values=values.Values(('uint8',), 60.0, 250.0),
  )
  return workdir.path


@pytest.fixture(scope='module')
def predictor(workdir):
  return predict.load(workdir, **OPTIONS)


@pytest.fixture(scope='module')
def scene():
  return shapes.load('val', size=SIZE, length=1)[0]['image']


@pytest.fixture(autouse=True)
def blocks_are_small(monkeypatch):
  monkeypatch.setattr(predict_windows, 'BLOCK', 64)


def write_raster(path, image, **profile):
  profile = {'crs': 'EPSG:32632', 'transform': TRANSFORM} | profile
  with rasterio.open(
      *(path, 'w', 'GTiff', image.shape[1], image.shape[0], image.shape[2]),
      dtype=image.dtype,
      **profile,
  ) as file:
    file.write(np.moveaxis(image, -1, 0))


def test_a_raster_is_predicted_as_the_whole_image(predictor, scene, tmp_path):
  write_raster(tmp_path / 'map.tif', scene)
  output = tmp_path / 'out'
  predict.write(
      predictor,
      [tmp_path / 'map.tif'],
      output,
      windows=True,
      probabilities=True,
      polygons='geojson',
  )
  labels, probabilities = predictor(scene)
  assert len(np.unique(labels)) > 1
  with rasterio.open(output / 'map.tif') as file:
    assert (file.crs, file.transform) == ('EPSG:32632', TRANSFORM)
    assert file.shape == SIZE
    assert file.nodata == 255
    assert file.colormap(1)[2][:3] == shapes.LABEL_MAP.colors[2]
    assert file.tags(1)['class_2'] == shapes.LABEL_MAP.names[2]
    written = file.read(1)
  with rasterio.open(output / 'map_probabilities.tif') as file:
    assert file.transform == TRANSFORM
    shares = np.moveaxis(file.read(), 0, -1)
  np.testing.assert_allclose(shares, probabilities, atol=1e-5)
  two = np.sort(probabilities, -1)[..., -2:]
  sure = two[..., 1] - two[..., 0] > 1e-4
  np.testing.assert_array_equal(written[sure], labels[sure])

  content = json.loads((output / 'map.geojson').read_text())
  assert content['crs']['properties']['name'].endswith('EPSG::32632')
  again = rasterio.features.rasterize(
      [
          (f['geometry'], 1 + f['properties']['category_id'])
          for f in content['features']
      ],
      out_shape=SIZE,
      transform=TRANSFORM,
  )
  np.testing.assert_array_equal(again, 1 + written)
  overlay = images.read_image(output / 'map_overlay.png')
  assert overlay.shape[0] > SIZE[0]

  before = (output / 'map.tif').stat().st_mtime_ns
  predict.write(
      predictor,
      [tmp_path / 'map.tif'],
      output,
      windows=True,
      probabilities=True,
      polygons='geojson',
  )  # Nothing is left to do.
  assert (output / 'map.tif').stat().st_mtime_ns == before


def test_where_there_is_no_data_there_is_no_class(predictor, scene, tmp_path):
  image = scene.copy()
  image[:70, :70] = 0  # Whole blocks, and a part of others.
  write_raster(tmp_path / 'map.tif', image, nodata=0)
  predict.write(
      predictor,
      [tmp_path / 'map.tif'],
      tmp_path / 'out',
      windows=True,
      polygons='geojson',
  )
  with rasterio.open(tmp_path / 'out/map.tif') as file:
    labels = file.read(1)
  assert (labels[:70, :70] == 255).all()
  assert (labels[70:, 70:] != 255).all()
  content = json.loads((tmp_path / 'out/map.geojson').read_text())
  kinds = {f['properties']['category_id'] for f in content['features']}
  assert kinds == set(np.unique(labels)) - {255}


def test_an_image_that_lies_nowhere_is_predicted_by_windows(
    predictor, scene, tmp_path
):
  images.write_png(tmp_path / 'a.png', scene)
  predict.write(predictor, [tmp_path / 'a.png'], tmp_path / 'out', windows=True)
  assert {path.name for path in (tmp_path / 'out').iterdir()} == {
      *('a.tif', 'a_overlay.png', prediction_folder.RECORD)
  }
  labels = images.read_mask(tmp_path / 'out/a.tif')
  assert np.mean(labels != predictor(scene)[0]) < 2e-3


def test_unlike_images_are_named_and_others_predicted(
    predictor, scene, tmp_path
):
  write_raster(tmp_path / 'deep.tif', scene.astype(np.uint16))
  write_raster(tmp_path / 'two.tif', scene[..., :2])
  write_raster(tmp_path / 'whole.tif', scene)
  cut = (tmp_path / 'whole.tif').read_bytes()[:9000]
  (tmp_path / 'cut.tif').write_bytes(cut)
  with pytest.raises(ValueError, match='^3 of 4 images') as error:
    predict.write(predictor, [tmp_path], tmp_path / 'out', windows=True)
  for name in ('deep', 'two', 'cut'):
    assert str(tmp_path / f'{name}.tif') in str(error.value)
  names = {path.name for path in (tmp_path / 'out').iterdir()}
  assert names == {'whole.tif', 'whole_overlay.png', prediction_folder.RECORD}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'scales': (0.5, 1.0)}, r'scales=\(0.5, 1.0\) needs the whole image'),
        ({'refine': 'dense_crf'}, "refine='dense_crf' needs the whole image"),
        ({'mode': 'whole'}, "mode='slide'"),
    ],
)
def test_what_needs_the_whole_image_is_refused(
    workdir, options, message, tmp_path
):
  other = predict.load(workdir, **OPTIONS | options)
  images.write_png(tmp_path / 'a.png', np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match=message):
    predict.write(other, [tmp_path], tmp_path / 'out', windows=True)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ({'raw_ids': True}, '--raw_ids does not go with --windows'),
        ({'polygons': 'coco'}, 'write them as geojson'),
    ],
)
def test_what_windows_do_not_write_is_refused(
    predictor, option, message, tmp_path
):
  images.write_png(tmp_path / 'a.png', np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match=message):
    predict.write(predictor, [tmp_path], tmp_path / 'o', windows=True, **option)


def test_images_get_polygons_beside_their_masks(predictor, scene, tmp_path):
  for name in 'ab':
    images.write_png(tmp_path / f'{name}.png', scene)
  paths, output = [tmp_path / 'a.png', tmp_path / 'b.png'], tmp_path / 'out'
  predict.write(predictor, paths[:1], output, polygons='coco')
  before = json.loads((output / 'polygons.json').read_text())
  predict.write(predictor, paths, output, polygons='coco')
  after = json.loads((output / 'polygons.json').read_text())
  assert [entry['file_name'] for entry in after['images']] == ['a.png', 'b.png']
  count = len(before['annotations'])
  assert after['annotations'][:count] == before['annotations']
  area = sum(a['area'] for a in after['annotations'][:count])
  assert area == SIZE[0] * SIZE[1]
