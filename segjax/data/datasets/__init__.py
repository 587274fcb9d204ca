"""Data sets, loaded by name: `load('camvid', 'train', data_dir)`.

Each file of this folder is a data set. It defines `load(split, root,
**options)`, which finds the files under `root` and returns a `Dataset`; there
is no other list of data sets.
"""

import functools
import importlib
import inspect
import os
import pkgutil
from typing import Any

from segjax.data import values
from segjax.data.label_map import LabelMap

# The mask of an image in a folder of predictions in raw ids, where a data set
# does not say otherwise. A server takes the folder, which has nothing else.
RESULT_FILE = 'raw_ids/{name}.png'


class Dataset:
  """A split of a data set, a random-access source of examples for grain.

  An example is {'image': [H, W, C] uint8, uint16 or float32, 'label': [H, W]
  uint8 with train ids and 255 for ignored, 'name': str, unique in the split}.
  With N = `proposals` above 0 it also has 'proposals' [H, W, N], see
  `segjax.data.proposals`. An example that cannot be used raises
  `segjax.data.image.BadExample`, which names the file.
  """

  label_map: LabelMap
  split: str
  proposals: int = 0
  sources: tuple[str, ...] = ()  # Names of the sets of a mixture.

  def __len__(self):
    raise NotImplementedError

  def __getitem__(self, index):
    raise NotImplementedError

  @functools.cached_property
  def channels(self):
    """Number of channels of the images of this data set."""
    return self[0]['image'].shape[-1]

  @functools.cached_property
  def values(self):
    """Type and range of the images of this data set, `values.Values`."""
    return values.measure([self[0]['image']])

  def where(self, index):
    """Describes the files that are read for an example, for errors."""
    return f'example {index} of {self!r}'

  def source(self, index):
    """Returns the name of the set of a mixture that an example is of, or ''."""
    del index
    return ''

  def origin(self, index):
    """Returns the data set that reads an example, and its index there."""
    return self, index

  def __repr__(self):
    return f'{type(self).__name__}(split={self.split!r}, size={len(self)})'


class NoSplitError(ValueError):
  """A data set has no split of this name."""


def load(name: str, split: str, data_dir: str = '', **options: Any) -> Dataset:
  """Loads a split of a data set.

  Args:
    name: name of a file in segjax/data/datasets, such as 'camvid'.
    split: name of the split, such as 'train'.
    data_dir: folder of the data set, or the folder above it; '' takes the
      environment variable SEGJAX_DATA_DIR.
    **options: options that only this data set has, such as `fov=True` of
      'drive'.

  Raises:
    ValueError: there is no such data set, split or option; the message lists
      those that exist.
    FileNotFoundError: the files are missing; the message tells where to get
      them.
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


def layout_of_results(name: str) -> dict[str, Any]:
  """Returns which files the server of a data set expects.

  The file of the data set says in `RESULTS` what differs from a folder with a
  mask for each image; see `segjax.data.raw_ids.RawIds`.

  Args:
    name: of the data set.
  """
  if name not in names():
    return {}
  module = importlib.import_module(f'{__name__}.{name}')
  return getattr(module, 'RESULTS', {})


def names() -> list[str]:
  """Returns the names of all data sets."""
  files = [module.name for module in pkgutil.iter_modules(__path__)]
  return sorted(set(files) - {'files'})
