r"""Checks a data set and the machine before a first run.

  python -m segjax.doctor --config=configs/deeplabv3.py:camvid

reads every example of the train and eval split as training does, and reports
what is wrong, what is odd, how often each class occurs, the class weights that
follow, and what the machine has and a training step needs. The exit code is 1
when training would fail or learn the wrong thing.

  python -m segjax.doctor --workdir=runs/camvid --replay=1207

computes a step again that a run has skipped, names the examples of its batch
and says where the first value arises that is not finite.
"""

import collections
import dataclasses
import hashlib
import shutil
import sys

from absl import app
from absl import flags
import grain
import jax
from ml_collections import config_flags
import numpy as np

from segjax import experiment
from segjax.artifacts import workdir
from segjax.data import datasets
from segjax.data import image
from segjax.data import statistics
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.runtime import compile_cache
from segjax.runtime import progress
from segjax.runtime import terminal

SHOWN = 10  # Lines of a long list that are shown; the rest is counted.

ZERO_AND_255 = (
    'hold only 0 and 255: give 255 to a class, in dataset.json'
    ' {"classes": [{"name": "background", "ids": [0]}, {"name": "object",'
    ' "ids": [255]}]}'
)


@dataclasses.dataclass(frozen=True)
class Good:
  """Properties of an example that could be read."""

  name: str
  size: tuple[int, int]
  channels: int
  dtype: str
  pixels: np.ndarray  # Pixels of each class, [K + 1], as in `statistics`.
  digest: bytes  # Hash of the decoded image.
  finite: bool  # Whether all values of the image are finite.
  orientations: tuple[int, int]  # Of image and mask by EXIF; 1 is upright.


@dataclasses.dataclass(frozen=True)
class Bad:
  """Why an example could not be used."""

  message: str
  zero_and_255: bool  # Whether its mask has only the values 0 and 255.


@dataclasses.dataclass
class Split:
  """The examples of a split, as far as they could be read."""

  role: str  # 'train' or 'eval'.
  dataset: datasets.Dataset
  good: list[Good]
  bad: list[Bad]

  @property
  def title(self):
    """Names the split in reports."""
    return f'{self.role} split {self.dataset.split!r}'

  @property
  def counts(self):
    """Pixels of each class in each readable example, [N, K + 1]."""
    width = self.dataset.label_map.num_classes + 1
    return np.array([g.pixels for g in self.good], int).reshape(-1, width)


@dataclasses.dataclass
class Problems:
  """Errors, which make training fail or go wrong, and warnings."""

  errors: list[str] = dataclasses.field(default_factory=list)
  warnings: list[str] = dataclasses.field(default_factory=list)


def check_data(config):
  """Reads both splits; returns a report as text, and the `Problems`."""
  problems = Problems()
  splits = []
  for role, load in (
      ('train', experiment.train_dataset),
      ('eval', experiment.eval_dataset),
  ):
    try:
      dataset = load(config)
    except (OSError, ValueError) as error:
      problems.errors.append(f'The {role} split cannot be loaded: {error}')
      continue
    split = _read(role, dataset)
    skip = role == 'train' and config.on_bad_example == 'skip'
    _check_examples(split, problems.warnings if skip else problems.errors)
    if not split.good:
      problems.errors.append(f'The {split.title} has no usable example.')
      continue
    _check_images(split, problems)
    _check_classes(split, problems)
    splits.append(split)
  if len(splits) == 2:
    _check_overlap(*splits, problems)
  parts = [_sizes(split) for split in splits]
  if splits:
    parts.append(_classes(splits))
  return '\n\n'.join(parts), problems


def check_machine(config):
  """Returns (report, problems) of packages, devices and memory."""
  problems = Problems()
  devices = collections.Counter(d.device_kind for d in jax.devices())
  if jax.default_backend() == 'cpu' and shutil.which('nvidia-smi'):
    problems.warnings.append(
        'There is an NVIDIA GPU, but JAX sees only the CPU: install'
        f' jax[cuda13]=={jax.__version__}'
    )
  versions = (f'{name} {v}' for name, v in workdir.versions().items())
  lines = [
      f'Versions  {", ".join(versions)}',
      f'Devices   {_share(devices)}',
  ]
  try:
    lines.append(f'Memory    {_memory(config)}')
  except ValueError as error:
    problems.errors.append(str(error))
  return '\n'.join(lines), problems


def main(config):
  """Prints the reports and problems; returns the exit code."""
  with terminal.errors_in_words():
    compile_cache.enable()
    compile_cache.relax_gc()
    report, problems = check_data(config)
    print(report, end='\n\n' if report else '')
    if not problems.errors:
      report, more = check_machine(config)
      print(report, end='\n\n')
      problems.errors += more.errors
      problems.warnings += more.warnings
  for message in problems.warnings:
    print(f'Warning: {message}')
  for message in problems.errors:
    print(f'Error: {message}')
  if problems.errors:
    print('Training would fail or learn the wrong thing.')
    return 1
  print('Ready to train.')
  return 0


def _read(role, dataset):
  """Examines all examples of a split, and shows progress."""
  indices = grain.MapDataset.range(len(dataset))
  examined = indices.map(lambda i: _examine(dataset, i)).to_iter_dataset()
  title = f'Reading {role} split {dataset.split!r}'
  examples = list(progress.track(examined, len(dataset), title))
  good = [e for e in examples if isinstance(e, Good)]
  bad = [e for e in examples if isinstance(e, Bad)]
  return Split(role, dataset, good, bad)


def _examine(dataset, index):
  """Reads an example; returns `Good` or `Bad`."""
  try:
    example = dataset[index]
  except BadExample as error:
    return Bad(str(error), _is_zero_and_255(dataset, index))
  pixels = np.ascontiguousarray(example['image'])
  return Good(
      name=example['name'],
      size=pixels.shape[:2],
      channels=pixels.shape[2],
      dtype=str(pixels.dtype),
      pixels=statistics.pixel_counts(
          example['label'], dataset.label_map.num_classes
      ),
      digest=hashlib.blake2b(pixels, digest_size=16).digest(),
      finite=bool(np.isfinite(pixels).all()),
      orientations=_orientations(dataset, index),
  )


def _orientations(dataset, index):
  """Returns how the files of an image and of its mask say they are turned."""
  dataset, index = dataset.origin(index)
  if not isinstance(dataset, files.Files):
    return 1, 1
  example = dataset.examples[index]
  return tuple(map(image.read_orientation, (example.image, example.mask)))


def _is_zero_and_255(dataset, index):
  """Tells whether the mask file of an example has only the values 0 and 255."""
  dataset, index = dataset.origin(index)
  if not isinstance(dataset, files.Files):
    return False
  try:
    mask = image.read_mask(dataset.examples[index].mask)
  except BadExample:
    return False
  return set(np.unique(mask)) == {0, 255}


def _check_examples(split, complaints):
  """Appends messages about unusable examples to a list."""
  if split.bad:
    total = len(split.good) + len(split.bad)
    messages = [bad.message for bad in split.bad]
    complaints.append(
        f'{len(split.bad)} of {total} examples of the {split.title} cannot be'
        f' used:{_listing(messages)}'
    )
  binary = sum(bad.zero_and_255 for bad in split.bad)
  if binary:
    complaints.append(f'{binary} masks of the {split.title} {ZERO_AND_255}')


def _check_images(split, problems):
  """Adds problems of images that differ in channels or type."""
  channels = collections.Counter(f'{g.channels} channels' for g in split.good)
  if len(channels) > 1:
    problems.errors.append(
        f'The images of the {split.title} cannot be batched: {_share(channels)}'
    )
  dtypes = collections.Counter(g.dtype for g in split.good)
  if len(dtypes) > 1:
    problems.warnings.append(
        f'The images of the {split.title} have several ranges, but are'
        f' normalised alike: {_share(dtypes)}'
    )

  spoilt = [g.name for g in split.good if not g.finite]
  if spoilt:
    problems.errors.append(
        f'{len(spoilt)} images of the {split.title} have values that are not'
        f' finite:{_listing(spoilt)}'
    )
  turned = [
      f'{g.name}: orientation {g.orientations[0]}, mask {g.orientations[1]}'
      for g in split.good
      if g.orientations[0] != g.orientations[1]
  ]
  if turned:
    problems.warnings.append(
        f'{len(turned)} images of the {split.title} are shown turned, by EXIF,'
        ' and their masks are not, or otherwise. Training takes both as they'
        ' are stored; if the masks were drawn on the images as they are shown,'
        f' write the images upright, without EXIF:{_listing(turned)}'
    )


def _check_classes(split, problems):
  """Adds problems of classes that do not occur and of masks without any."""
  counts = split.counts
  names = split.dataset.label_map.names
  occurs = counts[:, :-1].sum(0) > 0
  # A class that may overlap others is told apart from what is not of it.
  least = 1 if split.dataset.label_map.overlapping else 2
  if split.role == 'train' and occurs.sum() < least:
    what = f'only {names[occurs.argmax()]!r}' if occurs.any() else 'no class'
    problems.errors.append(
        f'The masks of the {split.title} hold {what}: nothing can be learned.'
    )
    if occurs[0] and counts[:, -1].any():
      problems.errors.append(
          f'If the masks of the {split.title} {ZERO_AND_255}'
      )
  absent = [names[i] for i in np.flatnonzero(~occurs)]
  if occurs.any() and absent:
    problems.warnings.append(
        f'{len(absent)} of {len(names)} classes never occur in the'
        f' {split.title}: {", ".join(absent)}'
    )
  blank = [g.name for g in split.good if not g.pixels[:-1].any()]
  if blank:
    problems.warnings.append(
        f'{len(blank)} masks of the {split.title} have no pixel that counts:'
        f'{_listing(blank)}'
    )


def _check_overlap(train, held_out, problems):
  """Adds problems of splits that differ in channels or share images."""
  if train.good[0].channels != held_out.good[0].channels:
    problems.errors.append(
        f'The {train.title} has images of {train.good[0].channels} channels,'
        f' the {held_out.title} of {held_out.good[0].channels}.'
    )
  known = {g.dtype for g in train.good}
  others = collections.Counter(
      g.dtype for g in held_out.good if g.dtype not in known
  )
  if others:
    problems.errors.append(
        f'The {train.title} has images of {" and ".join(sorted(known))}, the'
        f' {held_out.title} others: {_share(others)}'
    )
  trained_on = {g.digest: g.name for g in train.good}
  shared = [
      f'{g.name} is {trained_on[g.digest]} of {train.dataset.split!r}'
      for g in held_out.good
      if g.digest in trained_on
  ]
  if shared:
    problems.warnings.append(
        f'The score would be too high: {len(shared)} of {len(held_out.good)}'
        f' images of the {held_out.title} are trained on:{_listing(shared)}'
    )


def _sizes(split):
  """Describes number, type and sizes of the images of a split."""
  heights, widths = np.array([g.size for g in split.good]).T
  kinds = collections.Counter(f'{g.channels} x {g.dtype}' for g in split.good)
  lines = [f'The {split.title} of {len(split.good)} images: {_share(kinds)}']
  for title, values in (('height', heights), ('width', widths)):
    lines.append(
        f'  {title:6}  {values.min():6} smallest  {np.median(values):8g} median'
        f'  {values.max():6} largest'
    )
  for rest in getattr(split.dataset, 'left_out', ()):
    lines.append(f'  left out of {rest}')
  return '\n'.join(lines)


def _classes(splits):
  """Tabulates how often each class occurs, and the weights for training."""
  names = splits[0].dataset.label_map.names
  width = max(len(name) for name in (*names, 'ignored'))
  head = ' ' * (width + 5)
  columns = []
  for split in splits:
    head += f'{split.dataset.split:>12.12}{"in images":>11}'
    pixels = split.counts.sum(0)
    shares = pixels / max(pixels.sum(), 1)
    images = (split.counts > 0).sum(0)
    columns.append(
        [f'{s:12.3%}{n:11}' for s, n in zip(shares, images, strict=True)]
    )
  if splits[0].role == 'train':
    head += f'{"median freq.":>14}{"1/ln(1.02+f)":>14}'
    median = statistics.median_frequency(splits[0].counts)
    inverse = statistics.inverse_log(splits[0].counts)
    columns.append(
        [f'{m:14.4f}{v:14.4f}' for m, v in zip(median, inverse, strict=True)]
    )
  lines = [head]
  for i, name in enumerate(names):
    row = ''.join(column[i] for column in columns)
    lines.append(f'{i:4} {name:{width}}{row}')
  ignored = ''.join(column[-1] for column in columns[: len(splits)])
  lines.append(f'     {"ignored":{width}}{ignored}')
  return '\n'.join(lines)


def _memory(config):
  """Describes the memory of a training step.

  Raises:
    ValueError: a device has less memory.
  """
  from segjax import train  # Slow: it imports TensorFlow.

  parts = train.memory(config)
  listed = ', '.join(f'{name} {_bytes(n)}' for name, n in parts.items())
  needed = f'{_bytes(sum(parts.values()))} a device ({listed})'
  limit = _device_memory()
  if limit and sum(parts.values()) > limit:
    raise ValueError(
        f'config.batch_size={config.batch_size} needs {needed}, more than the'
        f' {_bytes(limit)} there are: lower it, raise config.optim.accumulate,'
        ' crop smaller, or split images by rows with config.mesh'
    )
  return f'{needed}, for config.batch_size={config.batch_size}'


def _device_memory():
  """Returns the memory of a device in bytes, or 0 if JAX does not know it."""
  return (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit', 0)


def _bytes(number):
  """Formats a number of bytes with a unit."""
  for unit in ('B', 'KiB', 'MiB'):
    if number < 1024:
      return f'{number:.4g} {unit}'
    number /= 1024
  return f'{number:.4g} GiB'


def _share(counter):
  """Formats a Counter as 'key (count), ...', the most common first."""
  return ', '.join(f'{name} ({n})' for name, n in counter.most_common())


def _listing(lines):
  """Formats the first `SHOWN` lines of a list, and the number of others."""
  shown = [f'\n  {line}' for line in lines[:SHOWN]]
  if len(lines) > SHOWN:
    shown.append(f'\n  and {len(lines) - SHOWN} more')
  return ''.join(shown)


def replay_step(path, step):
  """Prints what was not finite in a step of a run; returns the exit code."""
  from segjax import replay  # Slow: it imports TensorFlow.

  with terminal.errors_in_words():
    compile_cache.enable()
    print(replay.replay(workdir.Workdir(path), step))
  return 0


def run(config, path, step):
  """Does what the flags say; returns the exit code."""
  if bool(path) != bool(step) or bool(path) == bool(config):
    sys.exit(
        'segjax: Give --config=... to check what would be trained, or'
        ' --workdir=... --replay=STEP to compute a step of a run again.'
    )
  return replay_step(path, step) if step else main(config)


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of a run.')
  _REPLAY = flags.DEFINE_integer(
      'replay', 0, 'Number of a step of the run that was skipped.'
  )
  app.run(
      lambda _: run(_CONFIG.value, _WORKDIR.value, _REPLAY.value),
      flags_parser=terminal.parse_flags,
  )
