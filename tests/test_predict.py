import copy
import pathlib
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest

from segjax import experiment
from segjax import predict
from segjax.artifacts import pictures
from segjax.artifacts import prediction_folder
from segjax.data import image as images
from segjax.data.datasets import shapes
from segjax.data.values import Values
from tests import saved_run
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
SIZES = {'a': (32, 48), 'b': (21, 17), 'c': (50, 40)}


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, random_variables):
  """A run with weights of no meaning."""
  config = tiny.get_config()
  model = experiment.model(config, shapes.LABEL_MAP)
  return saved_run.save(
      tmp_path_factory.mktemp('run'),
      config,
      random_variables(model, (1, 32, 48, 3)),
      values=Values(('uint8',), 100.0, 255.0),
  )


@pytest.fixture(scope='module')
def predictor(workdir):
  return predict.load(workdir.path)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Images of several sizes, and something else."""
  folder = tmp_path_factory.mktemp('images')
  for i, (name, size) in enumerate(SIZES.items()):
    scene = shapes.load('val', size=size, length=3)[i]
    images.write_png(folder / f'{name}.png', scene['image'])
  (folder / 'notes.txt').write_text('not an image')
  return folder


@pytest.fixture(scope='module')
def written(predictor, folder, tmp_path_factory):
  output = tmp_path_factory.mktemp('predictions') / 'new'
  predict.write(predictor, [folder], output, probabilities=True)
  return output


def test_each_image_gets_its_files(written):
  assert {path.name for path in written.iterdir()} == {
      f'{name}{end}'
      for name in SIZES
      for end in ('.png', '_overlay.png', '.npz')
  } | {prediction_folder.RECORD}


@pytest.mark.parametrize('name', SIZES)
def test_files_hold_what_the_function_returns(predictor, folder, written, name):
  labels, probabilities = predictor(images.read_image(folder / f'{name}.png'))
  assert labels.shape == SIZES[name]
  assert labels.dtype == np.uint8
  assert probabilities.shape == (*SIZES[name], 8)
  np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
  np.testing.assert_array_equal(probabilities.argmax(-1), labels)

  mask = images.read_mask(written / f'{name}.png')
  # Rounding differs between batch sizes, and a pixel may be undecided.
  assert np.mean(mask != labels) < 2e-3
  saved = np.load(written / f'{name}.npz')['probabilities']
  assert saved.dtype == np.float16
  np.testing.assert_allclose(saved, probabilities, atol=2e-3)


@pytest.mark.parametrize('name', SIZES)
def test_label_files_carry_the_colours_of_the_classes(written, name):
  with Image.open(written / f'{name}.png') as picture:
    assert picture.mode == 'P'
    palette = np.reshape(picture.getpalette(), (-1, 3))[:8]
  np.testing.assert_array_equal(palette, shapes.LABEL_MAP.colors)


@pytest.mark.parametrize('name', SIZES)
def test_an_overlay_shows_the_image_above_a_legend(written, folder, name):
  height, width = SIZES[name]
  overlay = images.read_image(written / f'{name}_overlay.png')
  assert overlay.shape[0] > height
  assert overlay.shape[1] >= width
  assert not np.array_equal(
      overlay[:height, :width], images.read_image(folder / f'{name}.png')
  )


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_nothing_of_another_prediction_is_overwritten(
    workdir, predictor, folder, written, tmp_path
):
  before = contents(written)
  other = predict.load(workdir.path, flip=True)
  with pytest.raises(ValueError, match='a.png exists already, and so do 5'):
    predict.write(other, [folder], written)
  same_name = tmp_path / 'b.png'
  same_name.write_bytes((folder / 'b.png').read_bytes())
  with pytest.raises(ValueError, match='b.png exists already, and so do 1'):
    predict.write(predictor, [same_name], written)
  assert contents(written) == before

  somebodys = tmp_path / 'out' / 'c_overlay.png'
  somebodys.parent.mkdir()
  somebodys.write_bytes(b'a drawing')
  with pytest.raises(ValueError, match='c_overlay.png exists already'):
    predict.write(predictor, [folder], somebodys.parent)
  assert contents(somebodys.parent) == {'c_overlay.png': b'a drawing'}


def bad_files():
  """Returns what writes a file that no image can be predicted of, by name."""
  whole = np.zeros((20, 20, 3), np.uint8)

  def cut(path):
    images.write_png(path, whole)
    path.write_bytes(path.read_bytes()[:40])

  def broken_pixels(path):
    with path.open('wb') as file:
      np.save(file, np.full((20, 20, 3), np.nan, np.float32))

  return {
      'cut.png': cut,
      'empty.jpg': lambda path: path.write_bytes(b''),
      'sixteen.png': lambda path: images.write_png(
          path, whole[..., 0].astype(np.uint16)
      ),
      'nan.npy': broken_pixels,
  }


def test_one_bad_file_does_not_end_a_prediction(predictor, folder, tmp_path):
  inside, output = tmp_path / 'in', tmp_path / 'out'
  inside.mkdir()
  for name in SIZES:
    (inside / f'{name}.png').write_bytes((folder / f'{name}.png').read_bytes())
  for name, make in bad_files().items():
    make(inside / name)
  # These are left out of the folder, and the log says so.
  (inside / '._a.png').write_bytes(b'of a file manager')
  (inside / 'nowhere.png').symlink_to('not_there.png')
  with pytest.raises(ValueError, match='^4 of 7 images could not') as error:
    predict.write(predictor, [inside], output)
  for name in bad_files():
    assert str(inside / name) in str(error.value)
  good = {f'{name}{end}' for name in SIZES for end in ('.png', '_overlay.png')}
  assert contents(output).keys() == good | {prediction_folder.RECORD}


def test_a_second_call_goes_on_where_files_are_missing(
    predictor, folder, tmp_path
):
  inside, output = tmp_path / 'in', tmp_path / 'out'
  inside.mkdir()
  for name in SIZES:
    (inside / f'{name}.png').write_bytes((folder / f'{name}.png').read_bytes())
  damaged = inside / 'b.png'
  mended = damaged.read_bytes()
  damaged.write_bytes(mended[:200])
  with pytest.raises(ValueError, match='^1 of 3 images could not'):
    predict.write(predictor, [inside], output)
  before = contents(output)
  (output / 'a.png').unlink()
  (output / 'c.png').write_bytes(b'is not written again')
  damaged.write_bytes(mended)
  predict.write(predictor, [inside], output)
  after = contents(output)
  assert after.keys() == before.keys() | {'b.png', 'b_overlay.png'}
  assert after['a.png'] == before['a.png']
  assert after['c.png'] == b'is not written again'
  predict.write(predictor, [inside], output)  # Nothing is left to do.
  assert contents(output) == after


def test_masks_in_raw_ids_go_on_and_belong_to_their_prediction(
    predictor, folder, tmp_path
):
  predict.write(predictor, [folder], tmp_path, raw_ids=True)
  before = contents(tmp_path / 'raw_ids')
  assert before.keys() == {f'{name}.png' for name in SIZES}
  for name in SIZES:
    np.testing.assert_array_equal(
        images.read_mask(tmp_path / 'raw_ids' / f'{name}.png'),
        images.read_mask(tmp_path / f'{name}.png'),
    )
  (tmp_path / 'raw_ids/b.png').unlink()
  predict.write(predictor, [folder], tmp_path, raw_ids=True)
  assert contents(tmp_path / 'raw_ids') == before
  with pytest.raises(ValueError, match='a.png exists already'):
    predict.write(predictor, [folder], tmp_path)


@pytest.mark.parametrize(
    ('names', 'file'),
    [
        (('scan.png', 'scan_overlay.jpg'), 'scan_overlay.png'),
        (('scan_overlay_overlay.png', 'scan_overlay.png'), 'scan_overlay_over'),
    ],
)
def test_images_whose_outputs_share_a_name_are_refused(
    predictor, tmp_path, names, file
):
  for name in names:
    images.write_png(tmp_path / name, np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match=f'would be written to {file}') as error:
    predict.write(predictor, [tmp_path], tmp_path / 'out')
  for name in names:
    assert str(tmp_path / name) in str(error.value)
  assert not (tmp_path / 'out').exists()


def test_a_name_that_leaves_no_room_for_its_files_is_refused(
    predictor, tmp_path
):
  # NAME_overlay.png is one byte too long beside what is written before it.
  path = tmp_path / f'{"a" * (255 - 16)}.png'
  images.write_png(path, np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match='too long by 1 bytes for the file aa'):
    predict.write(predictor, [tmp_path], tmp_path / 'out')
  shorter = path.rename(tmp_path / path.name[1:])
  predict.write(predictor, [tmp_path], tmp_path / 'out')
  assert (tmp_path / f'out/{shorter.stem}_overlay.png').exists()


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_named(predictor, value):
  image = np.zeros((9, 9, 3), np.float32)
  image[2, 3] = value
  predictor = copy.copy(predictor)
  predictor._values = None  # As of weights that were converted.
  with pytest.raises(ValueError, match='bad: 3 of 243 values are NaN or inf'):
    predictor.predict_one(image, name='bad')


def test_the_uncertainty_of_one_image_is_no_label_of_another(sampled, tmp_path):
  for name in ('a.png', 'a_uncertainty.png'):
    images.write_png(tmp_path / name, np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match='would be written to a_uncertainty.png'):
    predict.write(sampled, [tmp_path], tmp_path / 'out')


def test_an_image_is_not_overwritten_by_its_prediction(predictor, tmp_path):
  path = tmp_path / 'a.png'
  images.write_png(path, np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match='would be overwritten'):
    predict.write(predictor, [path], tmp_path)


def test_images_of_the_same_name_are_refused(predictor, folder, tmp_path):
  images.write_png(tmp_path / 'a.png', np.zeros((9, 9, 3), np.uint8))
  with pytest.raises(ValueError, match='the same file: a. Predict them in'):
    predict.write(predictor, [folder, tmp_path / 'a.png'], tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_a_missing_image_and_an_empty_folder_are_named(predictor, tmp_path):
  for path in (tmp_path / 'x.png', tmp_path):
    with pytest.raises(FileNotFoundError, match=str(path)):
      predict.write(predictor, [path], tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_grey_images_become_colour_and_alpha_is_dropped(predictor):
  scene = shapes.load('val', size=(32, 48), length=1)[0]['image']
  grey = scene[..., :1]
  alpha = np.concatenate([scene, grey], -1)
  three = np.repeat(grey, 3, axis=2)
  for other, image in ((grey, three), (grey[..., 0], three), (alpha, scene)):
    np.testing.assert_array_equal(predictor(other)[0], predictor(image)[0])


def test_other_channels_than_the_models_are_refused(predictor):
  with pytest.raises(ValueError, match='has 5 channels, expected 3'):
    predictor(np.zeros((8, 8, 5), np.uint8))


def test_options_differ_from_those_of_the_run(workdir, predictor):
  image = shapes.load('val', size=(32, 48), length=1)[0]['image']
  flipped = predict.load(workdir.path, flip=True)(image)[1]
  mirrored = predictor(image[:, ::-1])[1][:, ::-1]
  expected = (predictor(image)[1] + mirrored) / 2
  np.testing.assert_allclose(flipped, expected, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'flop': True}, "no option 'flop' of prediction. Known: .*flip"),
        ({'flip': 'yes'}, "option flip='yes'"),
        ({'threshold': 0.3}, 'for two classes, .* has 8'),
    ],
)
def test_wrong_options_are_refused(workdir, options, message):
  with pytest.raises(ValueError, match=message):
    predict.load(workdir.path, **options)


def test_an_image_is_predicted_through_boxes(predictor):
  image = shapes.load('val', size=(40, 64), length=1)[0]['image']
  box = [4, 10, 36, 42]
  labels, scores = predictor.by_boxes(image, [box], size=32, enlarge=1.0)
  assert scores.shape == (40, 64, 8)
  inside = np.zeros((40, 64), bool)
  inside[4:36, 10:42] = True
  assert (labels[~inside] == 0).all()
  expected, _ = predictor(image[4:36, 10:42])
  seen = scores.max(-1) > 0
  assert seen.any()
  np.testing.assert_array_equal(labels[seen], expected[seen[4:36, 10:42]])


@pytest.fixture(scope='module')
def sampled(tmp_path_factory, random_variables):
  """The predictor of a system that samples, with weights of no meaning."""
  config = tiny.get_config()
  config.model_name = 'bayesian_segnet'
  config.system_loss = {}
  config.model = dict(depths=(1,) * 5, width=4, dropout=0.5, samples=4)
  model = experiment.model(config, shapes.LABEL_MAP)
  variables = random_variables(model, (1, 32, 48, 3))
  folder = tmp_path_factory.mktemp('sampling')
  return predict.load(saved_run.save(folder, config, variables).path)


def test_a_system_that_samples_says_how_sure_it_is(sampled, folder, tmp_path):
  predict.write(sampled, [folder / 'a.png'], tmp_path, probabilities=True)
  image = images.read_image(folder / 'a.png')
  labels, probabilities, variance = sampled.with_variance(image)
  np.testing.assert_array_equal(labels, sampled(image)[0])
  np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
  assert variance.shape == probabilities.shape
  assert 0 <= variance.min() < variance.max() <= 0.25
  with np.load(tmp_path / 'a_uncertainty.npz') as saved:
    np.testing.assert_allclose(saved['variance'], variance, atol=1e-3)
  drawn = images.read_image(tmp_path / 'a_uncertainty.png')
  np.testing.assert_allclose(
      drawn.squeeze(-1), pictures.uncertainty(variance), atol=2
  )


def test_variance_of_a_system_that_does_not_sample_is_refused(predictor):
  with pytest.raises(ValueError, match='does not sample'):
    predictor.with_variance(np.zeros((32, 48, 3), np.uint8))


def test_fields_that_the_model_does_not_read_are_refused(predictor):
  with pytest.raises(ValueError, match='this system reads no proposals'):
    predictor(np.zeros((8, 8, 3), np.uint8), proposals=np.ones((8, 8, 2)))


def test_a_folder_that_is_no_workdir_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match='is no workdir'):
    predict.load(tmp_path)


def test_the_command_writes_files_and_tells_its_speed(
    workdir, folder, predictor, tmp_path
):
  process = subprocess.run(
      [
          *(sys.executable, '-m', 'segjax.predict', folder / 'a.png'),
          *(f'--workdir={workdir.path}', f'--output={tmp_path / "out"}'),
          '--options=scales=(1.0,)',
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )
  assert process.returncode == 0, process.stderr
  assert 'images/s' in process.stderr
  names = {path.name for path in (tmp_path / 'out').iterdir()}
  assert names == {'a.png', 'a_overlay.png', prediction_folder.RECORD}
  labels, _ = predictor(images.read_image(folder / 'a.png'))
  mask = images.read_mask(tmp_path / 'out' / 'a.png')
  assert np.mean(mask != labels) < 2e-3


def test_the_command_ends_with_what_is_wrong(tmp_path):
  process = subprocess.run(
      [
          *(sys.executable, '-m', 'segjax.predict', tmp_path),
          *(f'--workdir={tmp_path}', f'--output={tmp_path / "out"}'),
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )
  assert process.returncode == 1
  assert f'segjax: {tmp_path} is no workdir' in process.stderr
  assert 'Traceback' not in process.stderr
