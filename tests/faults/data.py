"""Files of a data set that are damaged, and loaders that fail or hang."""

import json
import os
import re
import shutil

import numpy as np

from segjax.artifacts.checkpoint import Checkpoints
from segjax.data import image
from tests import tiny
from tests.faults.disks import saved_once
from tests.faults.found import Found
from tests.faults.found import last_line
from tests.runs import Runs

CLASSES = {'classes': [{'name': 'ground'}, {'name': 'cell'}], 'ignore': [255]}
IMAGES = 100


def write_set(root, suffix='.png'):
  """Writes a data set of small images, of which two are in val."""
  rng = np.random.default_rng(0)
  for split, count in (('train', IMAGES), ('val', 2)):
    for kind in ('images', 'masks'):
      (root / split / kind).mkdir(parents=True)
    for i in range(count):
      mask = np.zeros((32, 48), np.uint8)
      mask[8:24, i % 28 : i % 28 + 20] = 1
      image.write_png(root / f'{split}/masks/{i:03}.png', mask)
      noise = rng.integers(60, size=(32, 48, 3))
      write(
          root / f'{split}/images/{i:03}{suffix}',
          (noise + 120 * mask[:, :, None]).astype(np.uint8),
      )
  (root / 'dataset.json').write_text(json.dumps(CLASSES))
  return root


def write(path, pixels):
  if path.suffix == '.npy':
    np.save(path, pixels.astype(np.float32))
  else:
    image.write_png(path, pixels)


def on(root, *flags):
  """Returns the flags of a run that reads all images of a set."""
  return (
      *('--config=tests/tiny.py:folder', f'--config.data_dir={root}'),
      *('--config.total_steps=13', '--config.loader_timeout=3.0', *flags),
  )


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def wrong_ids(path):
  image.write_png(path, np.full((32, 48), 7, np.uint8))


def hang(path):
  """Makes a pipe of a file: whoever reads it waits for a writer."""
  path.unlink()
  os.mkfifo(path)


def ended(runs, name, *flags):
  """Returns the exit code of a run and what it said."""
  (process,) = runs.start(name, 1, *flags)
  return process.wait(120), runs.log(name)


def damaged(folder, seed):
  """1 % of the images are truncated, and a mask has ids without a class."""
  del seed
  found = Found()
  runs = Runs(folder)
  spoilt = {}
  for fault, part in ((truncate, 'images'), (wrong_ids, 'masks')):
    root = write_set(folder / fault.__name__)
    spoilt[part] = path = root / f'train/{part}/042.png'
    fault(path)
    code, log = ended(runs, f'stops {part}', *on(root))
    said = last_line(log)
    good = code == 1 and said.startswith('segjax: ') and str(path) in said
    found.note(good, f'ended naming the file of {part}', said)
  root = folder / 'both'
  shutil.copytree(folder / 'truncate', root)
  wrong_ids(root / 'train/masks/017.png')
  flags = on(root, '--config.on_bad_example=skip')
  code, log = ended(runs, 'skips', *flags)
  counted = None
  if code == 0:
    metrics = tiny.read_metrics(runs.workdir('skips'))
    counted = metrics[13]['speed/skipped_examples']
  named = '042.png' in log and '017.png' in log
  found.note(
      counted == 2 and named,
      'both skipped, named and counted as configured',
      f'code {code}, counted {counted}, {last_line(log)}',
  )
  return found


def evaluated(folder, seed):
  """A fault of val: named before the first step, or the step is saved."""
  del seed
  found = Found()
  for fault, part in ((truncate, 'images'), (wrong_ids, 'masks')):
    root = write_set(folder / f'seen {part}')
    path = root / f'val/{part}/001.png'
    fault(path)
    runs = Runs(folder, *on(root))
    code, log = ended(runs, f'seen {part}')
    saved = Checkpoints(
        runs.workdir(f'seen {part}').checkpoints, read_only=True
    ).steps()
    found.note(
        code == 1 and str(path) in log and not saved,
        'named before the first step',
        f'code {code}, saved {saved}, {last_line(log)}',
    )
  # One that breaks after the start.
  root = write_set(folder / 'later')
  runs = Runs(folder, *on(root))
  process = runs.stepping('later')[0]
  path = root / 'val/images/001.png'
  whole = path.read_bytes()
  truncate(path)
  code, log = process.wait(120), runs.log('later')
  folder_of_run = runs.workdir('later').checkpoints
  saved = Checkpoints(folder_of_run, read_only=True).steps()
  found.note(
      code == 1 and str(path) in log and saved[-1:] == [6],
      'step 6 saved, and the file named',
      f'code {code}, saved {saved}, {last_line(log)}',
  )
  path.write_bytes(whole)
  runs.finish('later')
  scored = 'val/mIoU' in tiny.read_metrics(runs.workdir('later'))[6]
  found.note(scored, 'step 6 evaluated by the next start', 'no score')
  return found


def not_a_number(folder, seed):
  """One image, and later all of them, overflow, and the loss is NaN."""
  del seed
  found = Found()
  root = write_set(folder / 'set', '.npy')
  lose_numbers(root / 'train/images/042.npy')
  flags = (
      *('--config.decoded_gb=0.0', '--config.max_bad_steps=3'),
      # The defaults are for images of 8 bits.
      '--config.preprocess.train=random_crop(32, 48)|normalize(127.5, 64.0)',
      '--config.preprocess.eval=normalize(127.5, 64.0)',
  )
  runs = Runs(folder, *on(root, *flags))
  code, log = ended(runs, 'one')
  skipped = None
  if code == 0:
    skipped = tiny.read_metrics(runs.workdir('one'))[13]['train/skipped_steps']
  found.note(
      skipped in (1, 2),  # Four of the images are seen twice.
      'its step skipped and counted',
      f'code {code}, skipped {skipped}, {last_line(log)}',
  )
  process = saved_once(runs, 'all')
  for path in sorted((root / 'train/images').iterdir()):
    lose_numbers(path)
  code, log = process.wait(120), runs.log('all')
  checkpoints = Checkpoints(runs.workdir('all').checkpoints, read_only=True)
  good = re.search(r'not finite in 3 steps .* checkpoint is step (\d+)', log)
  finite = good and all(
      np.isfinite(leaf).all()
      for leaf in _leaves(checkpoints.read(int(good[1]))['params'])
  )
  found.note(
      code == 1 and finite,
      'ended after 3 in a row, and the last checkpoint is finite',
      f'code {code}, {last_line(log)}',
  )
  return found


def lose_numbers(path):
  """Replaces an image by numbers whose sums overflow; it may be read now."""
  temporary = path.with_name(f'.{path.name}')
  np.save(temporary, np.full((32, 48, 3), 3e38, np.float32))
  temporary.replace(path)


def _leaves(tree):
  for value in tree.values():
    yield from _leaves(value) if isinstance(value, dict) else [value]


BUG = """
import runpy, sys
from segjax.data import image

def read_image(path, read=image.read_image, **options):
  if '042' in str(path):
    raise ZeroDivisionError('a bug of the loader')
  return read(path, **options)

image.read_image = read_image
sys.argv[0] = 'small_run'
runpy.run_module('tests.small_run', run_name='__main__', alter_sys=True)
"""


def loaders(folder, seed):
  """A thread that loads raises what nobody foresaw, or hangs in a file."""
  del seed
  found = Found()
  root = write_set(folder / 'set')
  runs = Runs(folder, *on(root), program=('-c', BUG))
  code, log = ended(runs, 'raises')
  good = 'ZeroDivisionError: a bug' in log and 'in read_image' in log
  found.note(code and good, 'ended with the traceback', last_line(log))
  runs = Runs(folder, *on(root))
  for name, place in (('training', 'train/images'), ('scoring', 'val/masks')):
    path = root / place / '001.png'
    whole = path.read_bytes()
    hang(path)
    code, log = ended(runs, f'hangs {name}')
    said = last_line(log)
    good = said.startswith('segjax: Waited 3 s') and str(path) in said
    found.note(code == 1 and good, f'{name}: ended naming the file', said)
    path.unlink()
    path.write_bytes(whole)
  return found
