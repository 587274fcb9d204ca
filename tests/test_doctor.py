import json
import pathlib
import shutil
import subprocess
import sys

import ml_collections
import numpy as np
from PIL import Image
import pytest

from segjax.convert import sources
from segjax.data import image
from segjax.doctor import data
from segjax.doctor import drawings
from segjax.doctor import machine
from segjax.doctor import weights
from segjax.doctor.problems import Problems

ROOT = pathlib.Path(__file__).parent.parent
CLASSES = {'classes': [{'name': 'ground'}, {'name': 'cell'}], 'ignore': [255]}
COLORS = {
    'classes': [
        {'name': 'ground', 'color': [0, 0, 0]},
        {'name': 'cell', 'color': [0, 200, 0]},
    ]
}


class Folder:
  """A healthy set of two train images and one of val, to be spoilt."""

  def __init__(self, root):
    self.root = root
    self.describe(CLASSES)
    for i, where in enumerate(('train/a', 'train/b', 'val/c')):
      self.image(where, np.full((12, 16, 3), 40 * i, np.uint8))
      self.mask(where, np.arange(12 * 16).reshape(12, 16) % 2)

  def describe(self, content):
    (self.root / 'dataset.json').write_text(json.dumps(content))

  def image(self, where, pixels):
    image.write_png(self._path('images', where), pixels)

  def mask(self, where, ids):
    image.write_png(self._path('masks', where), ids.astype(np.uint8))

  def objects(self, where, ids):
    image.write_png(self._path('instances', where), ids)

  def truncate(self, where):
    path = self._path('images', where)
    path.write_bytes(path.read_bytes()[:50])

  def check(self, **changes):
    """Returns the doctor's errors and warnings, each as one text."""
    _, problems = data.check(config(self.root, **changes))
    return '\n'.join(problems.errors), '\n'.join(problems.warnings)

  def _path(self, kind, where):
    split, name = where.split('/')
    folder = self.root / split / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f'{name}.png'


def config(data_dir, instances=False, **changes):
  """Returns the config of a folder, and what it does not need left out."""
  config = ml_collections.ConfigDict(
      dict(data_dir=str(data_dir), batch_size=2, seed=0, **changes)
  )
  config.on_bad_example = changes.get('on_bad_example', 'raise')
  config.dataset = dict(
      name='folder',
      train_split='train',
      eval_split='val',
      fold='',
      mix=(),
      options=dict(instances=True) if instances else {},
  )
  return config


@pytest.fixture
def folder(tmp_path):
  return Folder(tmp_path)


def test_healthy_set_is_described_without_complaint(folder):
  report, problems = data.check(config(folder.root))
  assert problems == Problems()
  lines = [line.split() for line in report.splitlines()]
  assert "The train split 'train' of 2 images: 3 x uint8 (2)" in report
  assert ['height', '12', 'smallest', '12', 'median', '12', 'largest'] in lines
  weights = ['1.0000', '2.3883']
  row = ['0', 'ground', '50.000%', '2', '50.000%', '1', *weights]
  assert row in lines


def test_damaged_file_is_an_error_that_names_it(folder):
  folder.truncate('train/b')
  errors, _ = folder.check()
  assert '1 of 2 examples of the train split' in errors
  assert 'b.png' in errors


def test_damaged_file_is_a_warning_where_training_skips_it(folder):
  folder.truncate('train/b')
  errors, warnings = folder.check(on_bad_example='skip')
  assert not errors
  assert 'b.png' in warnings


def test_split_without_a_usable_example_is_an_error(folder):
  folder.truncate('train/a')
  folder.truncate('train/b')
  errors, _ = folder.check(on_bad_example='skip')
  assert "The train split 'train' has no usable example." in errors


def test_damaged_eval_file_is_an_error_although_training_skips(folder):
  folder.truncate('val/c')
  errors, _ = folder.check(on_bad_example='skip')
  assert 'c.png' in errors


def test_mask_of_another_size_is_an_error(folder):
  folder.mask('train/b', np.zeros((6, 8)))
  errors, _ = folder.check()
  assert 'b.png is 6x8' in errors
  assert '12x16' in errors


def test_id_outside_the_map_is_an_error(folder):
  folder.mask('val/c', np.full((12, 16), 7))
  errors, _ = folder.check()
  assert '7 (192 px)' in errors


def test_color_outside_the_table_is_an_error(folder):
  folder.describe(COLORS)
  mask = np.zeros((12, 16, 3))
  mask[:3] = 0, 200, 0
  for where in ('train/a', 'train/b', 'val/c'):
    folder.mask(where, mask)
  assert folder.check() == ('', '')
  mask[0] = 9, 9, 200
  folder.mask('train/b', mask)
  errors, _ = folder.check()
  assert '(9, 9, 200) (16 px)' in errors


@pytest.mark.parametrize('ignore', [[], [255]])
def test_masks_of_0_and_255_are_an_error_that_tells_the_cure(folder, ignore):
  folder.describe({**CLASSES, 'ignore': ignore})
  for where in ('train/a', 'train/b'):
    folder.mask(where, 255 * (np.arange(12 * 16).reshape(12, 16) % 2))
  errors, _ = folder.check()
  assert 'hold only 0 and 255: give 255 to a class' in errors


def test_only_one_class_is_an_error(folder):
  folder.mask('train/a', np.ones((12, 16)))
  folder.mask('train/b', np.ones((12, 16)))
  errors, _ = folder.check()
  assert "hold only 'cell'" in errors


def test_class_that_never_occurs_is_a_warning(folder):
  folder.describe({**CLASSES, 'classes': [*CLASSES['classes'], {'name': 'x'}]})
  errors, warnings = folder.check()
  assert not errors
  assert "1 of 3 classes never occur in the train split 'train': x" in warnings


def test_mask_without_a_pixel_that_counts_is_a_warning(folder):
  folder.mask('train/b', np.full((12, 16), 255))
  errors, warnings = folder.check()
  assert not errors
  assert 'have no pixel that counts:\n  b' in warnings


def test_image_in_both_splits_is_a_warning(folder):
  folder.image('val/c', np.full((12, 16, 3), 40, np.uint8))
  errors, warnings = folder.check()
  assert not errors
  assert "c is b of 'train'" in warnings


def test_splits_of_different_channels_are_an_error(folder):
  folder.image('val/c', np.zeros((12, 16), np.uint8))
  errors, _ = folder.check()
  assert 'images of 3 channels' in errors


def test_images_of_several_depths_are_a_warning(folder):
  folder.image('train/b', np.full((12, 16, 3), 9000, np.uint16))
  errors, warnings = folder.check()
  assert not errors
  assert 'uint8 (1), uint16 (1)' in warnings


def test_missing_set_is_an_error_that_tells_the_layout(tmp_path):
  _, problems = data.check(config(tmp_path / 'nowhere'))
  assert len(problems.errors) == 2
  assert 'Expected: train/images' in problems.errors[0]


def test_machine_is_described_with_what_a_step_needs(monkeypatch):
  parts = {'arguments': 3 * 2**20, 'temporaries': 2**30}
  monkeypatch.setattr('segjax.train.memory', lambda _: parts)
  report, problems = machine.check(config(''))
  assert not problems.errors
  assert 'python 3.' in report
  assert '1.003 GiB a device (arguments 3 MiB, temporaries 1 GiB)' in report


def test_batch_that_does_not_fit_is_an_error(monkeypatch):
  monkeypatch.setattr('segjax.train.memory', lambda _: {'all': 3 * 2**30})
  monkeypatch.setattr(machine, '_device_memory', lambda: 2 * 2**30)
  _, problems = machine.check(config(''))
  assert 'more than the 2 GiB there are' in problems.errors[0]


def test_weights_that_a_run_cannot_begin_with_are_errors(tmp_path, monkeypatch):
  monkeypatch.setenv(sources.VARIABLE, str(tmp_path))
  title = 'torchvision:resnet18-f37072fd'
  (tmp_path / 'resnet18-f37072fd.pth').write_bytes(b'something else')
  for init_from, message in (
      (title, 'is not the file that its name says'),
      (f'{title}0', 'There are no weights called'),
      (str(tmp_path), 'There is no checkpoint in'),
  ):
    (error,) = weights.check(init_from)
    assert error.startswith('config.init_from: ')
    assert message in error
  assert not weights.check('')


def test_exit_code_is_1_when_training_would_be_wrong(folder):
  folder.mask('train/b', np.full((12, 16), 7))
  path = folder.root / 'config.py'
  path.write_text(f"""
import ml_collections


def get_config():
  return ml_collections.ConfigDict({config(folder.root).to_dict()})
""")
  process = subprocess.run(
      [sys.executable, '-m', 'segjax.doctor', f'--config={path}'],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )
  assert process.returncode == 1, process.stderr
  assert 'Error: 1 of 2 examples' in process.stdout
  assert process.stdout.endswith('learn the wrong thing.\n')


def turned(folder, where, orientation, kind='images', size=(12, 16)):
  """Writes an image or mask of zeros that EXIF says to turn."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = folder.root / where.replace('/', f'/{kind}/')
  shape = (*size, 3) if kind == 'images' else size
  array = np.zeros(shape, np.uint8)
  Image.fromarray(array).save(path.with_suffix('.png'), exif=exif)


@pytest.mark.parametrize('orientation', [2, 3, 4, 6])
def test_image_that_is_shown_turned_is_a_warning(folder, orientation):
  turned(folder, 'train/b', orientation)
  errors, warnings = folder.check()
  assert not errors
  assert '1 images of the train split' in warnings
  assert f'b: orientation {orientation}, mask 1' in warnings
  turned(folder, 'train/b', orientation, 'masks')
  assert 'orientation' not in folder.check()[1]


def test_the_files_of_a_fold_are_looked_at(folder):
  turned(folder, 'train/b', 3)
  folds = config(folder.root)
  folds.dataset.fold = '1/2'
  report, problems = data.check(folds)
  assert "The eval split 'train-1-of-2' of 1 images" in report
  assert 'b: orientation 3, mask 1' in ' '.join(problems.warnings)


def test_image_that_is_shown_upright_is_no_warning(folder):
  turned(folder, 'train/b', 1)
  assert folder.check() == ('', '')


def test_image_that_is_shown_turned_by_a_quarter_is_told(folder):
  turned(folder, 'train/b', 6, size=(16, 12))
  errors, _ = folder.check()
  assert (
      'b.png is 16x12 (height x width); EXIF shows the image turned' in errors
  )


def test_image_with_values_that_are_not_finite_is_an_error(folder):
  pixels = np.zeros((12, 16, 3), np.float32)
  pixels[3, 4] = np.nan
  (folder.root / 'train/images/b.png').unlink()
  np.save(folder.root / 'train/images/b.npy', pixels)
  errors, _ = folder.check()
  assert 'b.npy: 3 of 576 values are NaN or infinite' in errors


def test_splits_of_different_types_are_an_error(folder):
  folder.image('val/c', np.full((12, 16, 3), 9000, np.uint16))
  errors, _ = folder.check()
  assert 'has images of uint8, the eval split' in errors
  assert 'others: uint16 (1)' in errors


def test_files_that_are_left_out_are_counted(folder):
  (folder.root / 'train/images/._a.png').touch()
  (folder.root / 'train/images/notes.txt').touch()
  report, problems = data.check(config(folder.root))
  assert problems == Problems()
  images = folder.root / 'train/images'
  assert f'left out of {images}: 1 hidden, 1 .txt' in report


@pytest.mark.parametrize('where', ['train/a', 'val/c'])
def test_lossy_mask_is_an_error(folder, where):
  path = folder.root / where.replace('/', '/masks/')
  path.with_suffix('.png').unlink()
  Image.fromarray(np.zeros((12, 16), np.uint8)).save(path.with_suffix('.jpg'))
  errors, _ = folder.check()
  assert f'{path}.jpg: JPEG alters the values of a mask' in errors


def test_stray_values_beside_0_and_255_are_an_error(folder):
  (folder.root / 'dataset.json').unlink()
  for where in ('train/a', 'train/b', 'val/c'):
    folder.mask(where, 255 * (np.arange(12 * 16).reshape(12, 16) % 2))
  assert folder.check() == ('', '')
  mask = 255 * (np.arange(12 * 16).reshape(12, 16) % 2)
  mask[0, 0] = 254
  folder.mask('train/b', mask)
  errors, _ = folder.check()
  assert '0: 191 px, 254: 1 px, 255: 192 px' in errors


@pytest.fixture
def cells(tmp_path):
  """Two train images and one of val with objects, as `Folder` is."""
  folder = Folder(tmp_path)
  cell = {'name': 'cell', 'thing': True}
  folder.describe({'classes': [{'name': 'ground'}, cell], 'ignore': [255]})
  ids = np.zeros((12, 16), np.uint8)
  ids[1:5, 1:5], ids[1:5, 5:9], ids[8:11, 10:14] = 1, 2, 3
  for where in ('train/a', 'train/b', 'val/c'):
    folder.mask(where, ids > 0)
    folder.objects(where, ids)
  folder.ids = ids
  return folder


def test_healthy_objects_are_measured(cells):
  assert cells.check(instances=True) == ('', '')
  report, _ = data.check(config(cells.root, instances=True))
  assert "train split 'train' has 6 objects, 3 in an image" in report
  *_, row = (
      report.split("The train split 'train' has")[1]
      .split('\n\n')[0]
      .splitlines()
  )
  # Number, groups, sizes; none in pieces, and two of an image touch.
  assert row.split()[1:] == ['cell', '6', '0', '12', '16', '16', '0', '4']


def test_spoilt_objects_are_named(cells):
  ids = cells.ids.copy()
  ids[10:12, 1:3] = 1  # The number of another cell.
  ids[6, 6], ids[11, 15] = 9, 70
  cells.mask('train/a', (ids > 0) & (ids < 70))
  cells.objects('train/a', ids)
  cells.mask('train/b', np.roll(cells.ids > 0, 1, axis=0))
  cells.objects('val/c', 0 * ids)
  errors, warnings = cells.check(instances=True)
  assert not errors
  for words in (
      'objects of the train split',
      'b: object 1, 25%',
      '1 of 7 objects of the train split',
      'a: object 1, cell, 2',
      'a: object 4, cell, 1',
      'fewer than 10 pixels',
      '1 objects in the maps of the train split',
      'No image of the eval split',
  ):
    assert words in warnings


def test_examples_without_any_object_cannot_be_learned_from(cells):
  for where in ('train/a', 'train/b'):
    cells.objects(where, 0 * cells.ids)
  errors, _ = cells.check(instances=True)
  assert 'No image of the train split' in errors
  cells.objects('train/a', cells.ids)
  errors, warnings = cells.check(instances=True)
  assert not errors
  assert '1 of 2 images of the train split' in warnings


def test_pictures_of_equal_names_are_all_drawn(cells, tmp_path):
  folder = cells.root / 'train'
  for kind in ('images', 'masks'):
    (folder / kind / 'a').mkdir()
    for where in ('a/b.png', 'a_b.png', f'a/{"c" * 250}.png'):
      shutil.copy(folder / kind / 'a.png', folder / kind / where)
  said = drawings.draw(config(cells.root), tmp_path / 'drawn')
  assert said.startswith('6 pictures')  # 5 of train and 1 of val.
  assert len(list((tmp_path / 'drawn').iterdir())) == 6


@pytest.mark.parametrize('with_objects', [True, False])
def test_examples_are_drawn_and_nothing_is_overwritten(
    cells, tmp_path, with_objects
):
  given = config(cells.root, instances=with_objects)
  cells.truncate('train/b')  # It is left out.
  given.dataset.eval_split = 'lost'  # It is left out, too.
  assert drawings.draw(given, tmp_path / 'one').startswith('1 pictures')
  given.dataset.eval_split = 'val'
  said = drawings.draw(given, tmp_path / 'drawn')
  assert said.startswith('2 pictures')
  files = sorted(path.name for path in (tmp_path / 'drawn').iterdir())
  assert files == ['eval_c.png', 'train_a.png']
  picture = image.read_image(tmp_path / 'drawn/train_a.png')
  wide = 3 * 16 + 8 if with_objects else 16
  assert picture.shape[0] > 12
  assert picture.shape[1] >= wide
  if with_objects:
    plain, drawn = picture[:12, :16], picture[:12, 40:56]
    inside = cells.ids > 0
    assert (plain != drawn).any(-1)[inside].mean() > 0.9
  with pytest.raises(FileExistsError, match='are not touched'):
    drawings.draw(given, tmp_path / 'drawn')
