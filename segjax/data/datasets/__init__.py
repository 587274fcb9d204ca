"""Data sets by name: `load('camvid', 'train', data_dir)`.

One file a set. A file has `load(split, root, **options)`, which finds the set
under `root` and returns a `Dataset`; nothing else needs to know of it.
"""

import functools
import importlib
import inspect
import os
import pkgutil

from segjax.data.label_map import LabelMap


class Dataset:
  """Examples by index, as grain's RandomAccessDataSource.

  An example is {'image': [H, W, C] uint8, uint16 or float32, 'label': [H, W]
  uint8 with train ids and 255 for ignored, 'name': str, unique in the split}.
  With `proposals`, their number, it has 'proposals' [H, W, N], too; see
  `segjax.data.proposals`.
  An unusable one raises `segjax.data.image.BadExample`, which names the file.
  """

  label_map: LabelMap
  split: str
  proposals: int = 0

  def __len__(self):
    raise NotImplementedError

  def __getitem__(self, index):
    raise NotImplementedError

  @functools.cached_property
  def channels(self):
    """Of every image."""
    return self[0]['image'].shape[-1]

  def where(self, index):
    """Returns in words what is read for an example."""
    return f'example {index} of {self!r}'

  def __repr__(self):
    return f'{type(self).__name__}(split={self.split!r}, size={len(self)})'


def load(name, split, data_dir='', **options):
  """Returns a split of a data set.

  Args:
    name: file in segjax/data/datasets, such as 'camvid'.
    split: for example 'train'; a wrong one is answered with those that exist.
    data_dir: folder of the set or the one above it; '' takes the environment
      variable SEGJAX_DATA_DIR.
    **options: fields of this set alone, such as `fov=True` of 'drive'.
  """
  if name not in names():
    raise ValueError(f"no data set '{name}'; there are {', '.join(names())}")
  module = importlib.import_module(f'{__name__}.{name}')
  known = list(inspect.signature(module.load).parameters)[2:]
  for option in options:
    if option not in known:
      raise ValueError(
          f"data set '{name}' has no option '{option}'; it has"
          f' {", ".join(known) or "none"}'
      )
  root = data_dir or os.environ.get('SEGJAX_DATA_DIR', '')
  return module.load(split, root, **options)


def names():
  """Returns the names that `load` takes."""
  files = [module.name for module in pkgutil.iter_modules(__path__)]
  return sorted(set(files) - {'files'})
