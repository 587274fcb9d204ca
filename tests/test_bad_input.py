"""What is wrong is told in words, by file or by field, and nothing is lost."""

import json
import pathlib
import re
import subprocess
import sys

import grain
import numpy as np
from PIL import Image
import pytest

from segjax import evaluate
from segjax import train
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.data import image
from segjax.doctor import data
from segjax.runtime import terminal
from tests import tiny

ROOT = pathlib.Path(__file__).parent.parent
CLASSES = {'classes': [{'name': 'ground'}, {'name': 'cell'}], 'ignore': [255]}


def write_set(root, train_images=8):
  """Writes bright cells on dark ground; two images are in val."""
  for split, count in (('train', train_images), ('val', 2)):
    for kind in ('images', 'masks'):
      (root / split / kind).mkdir(parents=True)
    for i in range(count):
      mask = np.zeros((32, 48), np.uint8)
      mask[8:24, i : i + 20] = 1
      image.write_png(root / f'{split}/masks/{i}.png', mask)
      noise = np.random.default_rng(i).integers(60, size=(32, 48, 3))
      pixels = (noise + 120 * mask[..., None]).astype(np.uint8)
      image.write_png(root / f'{split}/images/{i}.png', pixels)
  (root / 'dataset.json').write_text(json.dumps(CLASSES))
  return root


@pytest.fixture
def root(tmp_path):
  return write_set(tmp_path / 'data')


def configure(root=None, **changes):
  """The config of a run on `root` or else on shapes; a dot is `__`."""
  config = tiny.get_config('folder' if root else 'shapes')
  config.data_dir = str(root or '')
  for name, value in changes.items():
    *parents, field = name.split('__')
    part = config
    for parent in parents:
      part = part[parent]
    part[field] = value
  return config


def complaint(run, config, path):
  """Returns what the command says before it ends with exit code 1."""
  with pytest.raises(SystemExit) as stop, terminal.errors_in_words():
    run(config, Workdir(path))
  said = stop.value.code  # Text is written to stderr, and the exit code is 1.
  assert said.startswith('segjax: ')
  return said


@pytest.mark.parametrize(
    ('flag', 'message'),
    [
        ('--config.batchsize=4', '"batch_size" instead of "batchsize"'),
        ('--config.model.nonsense=4', "no such field: 'nonsense'"),
        ('--config.total_steps=many', '--config.total_steps=many: invalid'),
        ('--config.batch_size=2.5', '--config.batch_size=2.5: invalid'),
        ('--config.model=3', "--config.model=3: .*'3' as a ConfigDict"),
        ('--config=configs/deeplabv3.py:mnist', "no .*'mnist'. Known: camvid"),
        ('--config=configs/nosuch.py', 'configs/nosuch.py'),
        ('--mode=test', '--mode=test: .*train.*eval'),
    ],
)
def test_a_wrong_flag_ends_the_command(tmp_path, flag, message):
  process = subprocess.run(
      [
          *(sys.executable, '-m', 'segjax.main', '--config=tests/tiny.py'),
          *(f'--workdir={tmp_path / "run"}', flag),
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )
  assert process.returncode == 1
  assert process.stderr.startswith('segjax: ')
  assert re.search(message, process.stderr)
  assert 'Traceback' not in process.stderr
  assert not (tmp_path / 'run').exists()


def test_a_wrong_value_ends_the_command(tmp_path):
  process = subprocess.run(
      [
          *(sys.executable, '-m', 'segjax.main', '--config=tests/tiny.py'),
          *(f'--workdir={tmp_path / "run"}', '--config.loss=dyce'),
      ],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )
  assert process.returncode == 1
  last = process.stderr.splitlines()[-1]
  assert last.startswith("segjax: There is no loss 'dyce'. Known: ")
  assert 'Traceback' not in process.stderr


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'task': 'depth'}, "no task 'depth'. Known: .*semantic"),
        ({'task': 'binary'}, '8 classes; the task binary is for two'),
        ({'predict__threshold': 0.4}, 'is for two classes, .* has 8'),
        ({'predict__threshold': 1.5}, '=1.5 must be between 0 and 1'),
        ({'model_name': 'resnet'}, "no model 'resnet'. Known: .*deeplabv3"),
        ({'model__depth': 3}, 'no field depth. Known: .*backbone'),
        ({'model__backbone': 'resnet/51'}, "'resnet/51'. Known: .*resnet/50"),
        (
            {'model__backbone': 'resnet/18(output_stride=12)'},
            'output_stride=12: .* 8, 16 or 32',
        ),
        (
            {'model__backbone': 'resnet/18(output_strid=8)'},
            "no option output_strid. It is used as 'resnet/18.*output_stride=",
        ),
        (
            {'model__backbone': 'vit/tiny'},
            "reads c5, c4 of its backbone, which 'vit/tiny' has not",
        ),
        ({'dataset__name': 'mnist'}, "no data set 'mnist'; .*camvid"),
        ({'dataset__options__color': 1}, "no option 'color'; it has size"),
        ({'dataset__train_split': 'trian'}, "'trian'; it has train, val"),
        ({'dataset__eval_split': 'test'}, "'test'; it has train, val"),
        (
            {'preprocess__train': 'flop|random_crop(32)|normalize'},
            "no op 'flop'. Known: .*flip",
        ),
        (
            {'preprocess__train': 'random_crop(32, 48, colour=1)|normalize'},
            'colour.* used as random_crop',
        ),
        ({'preprocess__train': 'flip|normalize'}, 'would differ in size'),
        ({'preprocess__train': 'random_crop(32)'}, 'must contain normalize'),
        (
            {'preprocess__train': 'random_crop(32, 48)|pad(16)|normalize'},
            r'train_\d+: an image of 32 x 48 does not fit into the 16 x 16',
        ),
        ({'preprocess__eval': 'flop|normalize'}, "no op 'flop'"),
        ({'preprocess__eval': 'flip|normalize'}, 'is random'),
        ({'loss': 'dyce'}, "no loss 'dyce'. Known: .*cross_entropy"),
        (
            {'optim__optimizer': 'lion'},
            "'lion'. Known: adam, adamw, rmsprop, sgd",
        ),
        ({'optim__accumulate': 3}, 'config.optim.accumulate=3 must divide'),
        ({'lr__schedule': 'line'}, "'line'. Known: constant, cosine"),
        ({'class_weights': '1, 2'}, r'is \[1. 2.\]; wanted are 8 numbers'),
        ({'class_weights': '1,1,1,1,1,1,1,nan'}, 'nan.; wanted are 8 numbers'),
        ({'class_weights': 'rare'}, "'rare'. Known: auto"),
        ({'dtype': 'float16'}, "config.dtype='float16' is not one of"),
        ({'parallel': 'pjit'}, "config.parallel='pjit' is not one of"),
        ({'absent': 'drop'}, "config.absent='drop' is not one of"),
        ({'predict__mode': 'tiles'}, "mode='tiles' is not one of"),
        ({'predict__stride': (600, 600)}, r'stride=\(600, 600\) must be'),
        ({'batch_size': 12}, 'config.batch_size=12 .* multiple of 8'),
        ({'batch_size': 0}, 'config.batch_size=0 .* multiple of 8'),
        ({'total_steps': 0}, 'config.total_steps=0 must be at least 1'),
        ({'on_bad_example': 'ignore'}, "'raise' or 'skip', not 'ignore'"),
    ],
    ids=lambda value: ','.join(value) if isinstance(value, dict) else '',
)
def test_a_wrong_field_is_named_before_training(tmp_path, changes, message):
  said = complaint(train.run, configure(**changes), tmp_path / 'run')
  assert re.search(message, said)
  assert not list((tmp_path / 'run' / 'checkpoints').iterdir())


def test_a_data_directory_is_asked_for(monkeypatch, tmp_path):
  monkeypatch.delenv('SEGJAX_DATA_DIR', raising=False)
  config = configure(dataset__name='folder', dataset__options={})
  said = complaint(train.run, config, tmp_path / 'run')
  assert 'Set config.data_dir or the environment' in said
  assert 'train/images/NAME.png' in said


def test_a_missing_set_is_answered_with_the_layout_expected(tmp_path):
  config = configure(tmp_path / 'nowhere')
  said = complaint(train.run, config, tmp_path / 'run')
  assert f'neither in {tmp_path / "nowhere"} nor in' in said
  assert 'train/images/NAME.png' in said


def test_an_empty_folder_is_named(root, tmp_path):
  for path in (root / 'train/images').iterdir():
    path.unlink()
  said = complaint(train.run, configure(root), tmp_path / 'run')
  assert f'{root}/train/images has no files that end with .png' in said


def test_an_image_without_a_mask_is_named(root, tmp_path):
  (root / 'val/masks/1.png').unlink()
  said = complaint(train.run, configure(root), tmp_path / 'run')
  assert f'1 of 2 images have no mask in {root}/val/masks' in said
  assert f'{root}/val/images/1.png' in said


def truncated(path, suffix):
  """Cuts a PNG in half, or saves it as JPEG and cuts that in half."""
  cut = path.with_suffix(suffix)
  Image.open(path).save(cut)
  if cut != path:
    path.unlink()
  cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
  return cut


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_a_truncated_image_is_named(root, tmp_path, suffix):
  path = truncated(root / 'train/images/3.png', suffix)
  said = complaint(train.run, configure(root), tmp_path / 'run')
  assert f'{path}: damaged' in said


def test_a_mask_of_another_size_is_named_with_both_sizes(root, tmp_path):
  mask = root / 'train/masks/3.png'
  image.write_png(mask, np.zeros((24, 48), np.uint8))
  said = complaint(train.run, configure(root), tmp_path / 'run')
  assert f'{mask} is 24x48 but its image' in said
  assert f'{root}/train/images/3.png is 32x48' in said


def test_an_id_outside_the_map_is_named_with_its_pixels(root, tmp_path):
  mask = root / 'train/masks/3.png'
  image.write_png(mask, np.full((32, 48), 7, np.uint8))
  said = complaint(train.run, configure(root), tmp_path / 'run')
  assert f'{mask}: ids outside the label map: 7 (1536 px)' in said


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ([], r"dataset.json: 'classes' is a list of one class or more"),
        ([{'name': 'all', 'ids': [0, 1]}], 'has 1 class; at least 2'),
    ],
)
def test_too_few_classes_are_an_error(root, tmp_path, classes, message):
  content = json.dumps({**CLASSES, 'classes': classes})
  (root / 'dataset.json').write_text(content)
  said = complaint(train.run, configure(root), tmp_path / 'run')
  assert re.search(message, said)


def test_bad_examples_are_skipped_and_counted_if_so_configured(root, tmp_path):
  truncated(root / 'train/images/1.png', '.png')
  truncated(root / 'train/images/2.png', '.jpg')
  image.write_png(root / 'train/masks/3.png', np.zeros((9, 9), np.uint8))
  config = configure(root, on_bad_example='skip', total_steps=3)
  workdir = Workdir(tmp_path / 'run')
  train.run(config, workdir)
  assert tiny.read_metrics(workdir)[3]['speed/skipped_examples'] == 3


def test_a_run_that_meets_a_bad_file_keeps_what_it_has(tmp_path):
  root = write_set(tmp_path / 'data', train_images=16)
  config = configure(root, total_steps=2, checkpoint_every=1, threads=1)
  order = grain.MapDataset.range(16).seed(config.seed).shuffle()
  names = sorted(f'{i}.png' for i in range(16))
  path = root / 'train/images' / names[order[8]]  # In the second batch.
  whole = path.read_bytes()
  path.write_bytes(whole[:99])
  workdir = Workdir(tmp_path / 'run')
  assert str(path) in complaint(train.run, config, workdir.path)
  assert Checkpoints(workdir.checkpoints).steps() == [1]

  path.write_bytes(whole)
  train.run(config, workdir)
  assert Checkpoints(workdir.checkpoints).steps() == [1, 2]


def test_a_batch_without_a_valid_pixel_has_loss_0(root, tmp_path):
  for path in (root / 'train/masks').iterdir():
    image.write_png(path, np.full((32, 48), 255, np.uint8))
  workdir = Workdir(tmp_path / 'run')
  train.run(configure(root, total_steps=2), workdir)
  values = tiny.read_metrics(workdir)[2]
  assert values['train/loss'] == 0
  assert values['train/skipped_steps'] == 0
  assert np.isfinite(values['val/mIoU'])


def test_evaluation_of_no_run_says_to_train_first(root, tmp_path):
  said = complaint(evaluate.run, configure(root), tmp_path / 'run')
  assert f'{tmp_path}/run is no workdir' in said
  assert 'Train first' in said


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_an_image_with_nan_is_named_by_a_run_and_by_the_doctor(
    root, tmp_path, split, value
):
  path = root / split / 'images/1.png'
  pixels = image.read_image(path).astype(np.float32)
  pixels[3, 4:6, 1] = value
  path.unlink()
  path = path.with_suffix('.npy')
  np.save(path, pixels)
  config = configure(root)
  said = complaint(train.run, config, tmp_path / 'run')
  assert f'{path}: 2 of 4608 values are NaN or infinite' in said
  _, problems = data.check(config)
  assert any(str(path) in error for error in problems.errors)


def spoil_mask(root):
  image.write_png(root / 'val/masks/1.png', np.full((32, 48), 7, np.uint8))
  return 'val/masks/1.png: ids outside the label map: 7'


def spoil_image(root):
  truncated(root / 'val/images/1.png', '.png')
  return 'val/images/1.png: damaged'


def spoil_size(root):
  image.write_png(root / 'val/masks/1.png', np.zeros((24, 48), np.uint8))
  return 'val/masks/1.png is 24x48'


def spoil_channels(root):
  for path in (root / 'val/images').iterdir():
    image.write_png(path, image.read_image(path)[..., 0])
  return 'val/images/0.png'


@pytest.mark.parametrize(
    'spoil', [spoil_mask, spoil_image, spoil_size, spoil_channels]
)
def test_what_is_evaluated_is_looked_at_before_the_first_step(
    root, tmp_path, monkeypatch, spoil
):
  words = spoil(root)
  monkeypatch.setattr(train, 'loop', None)
  assert words in complaint(train.run, configure(root), tmp_path / 'run')
