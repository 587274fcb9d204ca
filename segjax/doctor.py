r"""Checks a data set and the machine before a first run.

  python -m segjax.doctor --config=configs/deeplabv3.py:camvid

reads every example of the train and eval split as training does, and reports
what is wrong, what is odd, how often each class occurs, the class weights that
follow, and what the machine has and a training step needs. Where examples have
objects, it measures them, too. It fetches and reads the weights of
`config.init_from`, and --pictures=FOLDER draws some examples with their labels.
The exit code is 1 when training would fail or learn the wrong thing.

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
from etils import epath
import grain
import jax
from ml_collections import config_flags
import numpy as np

from segjax import experiment
from segjax.artifacts import pictures
from segjax.artifacts import workdir
from segjax.convert import sources
from segjax.data import datasets
from segjax.data import image
from segjax.data import object_statistics
from segjax.data import statistics
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.runtime import compile_cache
from segjax.runtime import progress
from segjax.runtime import terminal

MIXED = 0.05  # Part of an object that may be of another class in the mask.
SPECK = 10  # Pixels that an object should have.
DRAWN = 8  # Examples of a split that are drawn.
NAME = 50  # Letters of the name of an example in that of its picture.
# What is looked at: the examples of training and of evaluation.
LOADERS = {
    'train': experiment.train_dataset,
    'eval': experiment.eval_dataset,
}
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
  objects: list[object_statistics.Object] | None  # None if it cannot have any.
  astray: dict[int, float]  # See `files.Files.compare_objects`.
  lost: int  # Objects of the map that are none of the example, see there.


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
  def objects(self):
    """All objects of readable examples."""
    return [one for g in self.good for one in g.objects or ()]

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
  for role, load in LOADERS.items():
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
    _check_objects(split, problems)
    splits.append(split)
  if len(splits) == 2:
    _check_overlap(*splits, problems)
  parts = [_sizes(split) for split in splits]
  if splits:
    parts.append(_classes(splits))
  parts += [_objects(split) for split in splits if split.objects]
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


def check_weights(init_from):
  """Reads the weights to begin with, and fetches them; returns errors."""
  # Slow: it imports Orbax.
  from segjax.artifacts import warm_start

  try:
    if named := sources.find(init_from):
      sources.fetch(named)
    elif init_from:
      warm_start.read(init_from)
  except (OSError, ValueError) as error:
    return [f'config.init_from: {error}']
  return []


def main(config, drawn=''):
  """Prints the reports and problems; returns the exit code.

  Args:
    config: of the run.
    drawn: folder for pictures of examples; '' draws none.
  """
  with terminal.errors_in_words():
    compile_cache.enable()
    compile_cache.relax_gc()
    if drawn:
      _check_new(drawn)
    report, problems = check_data(config)
    print(report, end='\n\n' if report else '')
    if drawn:
      print(draw(config, drawn), end='\n\n')
    if not problems.errors:
      report, more = check_machine(config)
      print(report, end='\n\n')
      problems.errors += more.errors
      problems.warnings += more.warnings
      problems.errors += check_weights(config.init_from)
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
  has_objects = object_statistics.map_of(example) is not None
  astray, lost = {}, 0
  if has_objects and isinstance(dataset, files.Files):
    astray, lost = dataset.compare_objects(index)
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
      objects=object_statistics.measure(example) if has_objects else None,
      astray=astray,
      lost=lost,
  )


def _orientations(dataset, index):
  """Returns how the files of an image and of its mask say they are turned."""
  dataset, index = dataset.origin(index)
  if not isinstance(dataset, files.Files):
    return 1, 1
  example = dataset.examples[index]
  turned = image.read_orientation(example.image)
  if example.mask is None:
    return turned, 1
  return turned, image.read_orientation(example.mask)


def _is_zero_and_255(dataset, index):
  """Tells whether the mask file of an example has only the values 0 and 255."""
  dataset, index = dataset.origin(index)
  if not isinstance(dataset, files.Files):
    return False
  path = dataset.examples[index].mask
  if path is None:
    return False
  try:
    mask = image.read_mask(path)
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


def _check_objects(split, problems):
  """Adds problems of objects: mixed classes, pieces, specks, none at all."""
  with_map = [g for g in split.good if g.objects is not None]
  if not with_map:
    return
  single = [one for one in split.objects if not one.crowd]
  names = split.dataset.label_map.names
  if not single:
    message = f'No image of the {split.title} has an object.'
    (problems.errors if split.role == 'train' else problems.warnings).append(
        f'{message} If there should be: a map of objects holds the number of'
        ' its object at each pixel, and "thing": true in dataset.json marks'
        ' their classes.'
    )
    return
  mixed = [
      f'{g.name}: object {number}, {share:.0%}'
      for g in with_map
      for number, share in g.astray.items()
      if share > MIXED
  ]
  if mixed:
    problems.warnings.append(
        f'{len(mixed)} objects of the {split.title} have pixels that the mask'
        ' gives another class, and training the class of the object:'
        f' do map and mask belong together?{_listing(mixed)}'
    )
  lost = [f'{g.name}: {g.lost}' for g in with_map if g.lost]
  if lost:
    problems.warnings.append(
        f'{sum(g.lost for g in with_map)} objects in the maps of the'
        f' {split.title} are left out, because most of their pixels are'
        f' ignored or of a class that is no thing:{_listing(lost)}'
    )
  pieces = [
      f'{one.image}: object {one.number}, {names[one.kind]}, {one.pieces}'
      for one in sorted(single, key=lambda one: -one.pieces)
      if one.pieces > 1
  ]
  if pieces:
    problems.warnings.append(
        f'{len(pieces)} of {len(single)} objects of the {split.title} are in'
        ' pieces. That is right if something hides their middle; if two'
        f' objects have one number, give each its own:{_listing(pieces)}'
    )
  specks = [
      f'{one.image}: object {one.number}, {names[one.kind]}, {one.pixels}'
      for one in sorted(single, key=lambda one: one.pixels)
      if one.pixels < SPECK
  ]
  if specks:
    problems.warnings.append(
        f'{len(specks)} of {len(single)} objects of the {split.title} have'
        f' fewer than {SPECK} pixels, from which hardly anything is'
        f' learned:{_listing(specks)}'
    )
  empty = [g.name for g in with_map if not g.objects]
  if empty:
    problems.warnings.append(
        f'{len(empty)} of {len(with_map)} images of the {split.title} have no'
        f' object:{_listing(empty)}'
    )


def _objects(split):
  """Describes the objects of a split."""
  counts = [len(g.objects) for g in split.good if g.objects is not None]
  return (
      f'The {split.title} has {sum(counts)} objects, {np.median(counts):g} in'
      f' an image in the median, {max(counts)} at most\n'
      + object_statistics.table(split.objects, split.dataset.label_map.names)
  )


def _check_new(folder):
  """Raises FileExistsError if a folder for pictures has files."""
  if epath.Path(folder).exists() and any(epath.Path(folder).iterdir()):
    raise FileExistsError(
        f'{folder} has files, which are not touched: give a new folder as'
        ' --pictures'
    )


def draw(config, folder):
  """Draws examples of both splits, evenly spread, with their labels.

  Args:
    config: of the run.
    folder: where to write; files that are there stay as they are.

  Returns:
    Where the pictures are, as a sentence.

  Raises:
    FileExistsError: the folder has files.
  """
  folder = epath.Path(folder)
  _check_new(folder)
  folder.mkdir(parents=True, exist_ok=True)
  taken = set()
  for role, load in LOADERS.items():
    try:
      dataset = load(config)
    except (OSError, ValueError):
      continue  # The report has named it.
    count = min(DRAWN, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).astype(int).tolist():
      try:
        example = dataset[index]
      except BadExample:
        continue  # As above.
      # The end of a path; another one may have it, too.
      name = f'{role}_{example["name"].replace("/", "_")[-NAME:]}'
      name = f'{name}_{index}' if name in taken else name
      taken.add(name)
      picture = _picture(example, dataset.label_map)
      image.write_png(folder / f'{name}.png', picture)
  return f'{len(taken)} pictures are in {folder}.'


def _picture(example, labels):
  """Returns an example with its classes and, if it has any, its objects."""
  shown = pictures.displayable(example['image'])
  if labels.overlapping:
    return pictures.mixed_overlay(shown, example['label'], labels)
  ids = object_statistics.map_of(example)
  if ids is None:
    return pictures.overlay(shown, example['label'], labels)
  objects = object_statistics.measure(example)
  drawn = pictures.objects(
      shown,
      [ids == one.number for one in objects],
      [
          labels.names[one.kind] + (' (group)' if one.crowd else '')
          for one in objects
      ],
      [
          pictures.shade(labels.colors[one.kind], one.number).tolist()
          for one in objects
      ],
  )
  colors = pictures.overlay(shown, example['label'], labels, legend=False)
  page = pictures.beside(shown, colors, drawn)
  return pictures.add_legend(page, example['label'], labels)


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


def run(config, path, step, drawn=''):
  """Does what the flags say; returns the exit code."""
  if bool(path) != bool(step) or bool(path) == bool(config):
    sys.exit(
        'segjax: Give --config=... to check what would be trained, or'
        ' --workdir=... --replay=STEP to compute a step of a run again.'
    )
  return replay_step(path, step) if step else main(config, drawn)


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _WORKDIR = flags.DEFINE_string('workdir', '', 'Folder of a run.')
  _REPLAY = flags.DEFINE_integer(
      'replay', 0, 'Number of a step of the run that was skipped.'
  )
  _PICTURES = flags.DEFINE_string(
      'pictures', '', 'Folder for pictures of examples with their labels.'
  )
  app.run(
      lambda _: run(
          _CONFIG.value, _WORKDIR.value, _REPLAY.value, _PICTURES.value
      ),
      flags_parser=terminal.parse_flags,
  )
