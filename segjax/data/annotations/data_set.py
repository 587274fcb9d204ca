"""A data set that segjax reads by itself, in the files that it comes in.

`data_set` is its name, such as 'camvid', and the source the folder that
SEGJAX_DATA_DIR would name. The splits train, val and test are taken, as far as
they are there, and the classes are those of the set.
"""

import functools
import pathlib

from segjax.data import datasets
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Source
from segjax.data.annotations import folder
from segjax.data.datasets import files

TAKEN = ('train', 'val', 'test')


def read(source, images, notes, data_set=''):
  """Reads a data set; see `annotations.read`."""
  if images is not None:
    raise ValueError('--images: the data set says where its images are')
  if not data_set:
    raise ValueError(
        'name the set with --data_set; there are'
        f' {", ".join(datasets.names())}'
    )
  found, missing = {}, None
  for split in TAKEN:
    try:
      found[split] = datasets.load(data_set, split, str(source))
    except datasets.NoSplitError:
      continue
    except FileNotFoundError as error:
      missing = missing or error
      notes.add(f'split {split} is not there, left out')
  if not found:
    raise missing or ValueError(f'{data_set} has none of {", ".join(TAKEN)}')
  first = next(iter(found.values()))
  if not isinstance(first, files.Files):
    raise ValueError(
        f'{data_set} has no file of labels for each image, which is what can be'
        ' imported'
    )
  labels = first.label_map
  if labels.overlapping:
    raise ValueError(f'{data_set}: classes that overlap cannot be imported')
  categories = [
      Category(name, color, False)
      for name, color in zip(labels.names, labels.colors, strict=True)
  ]
  splits = {
      split: [
          Picture(
              example.name,
              pathlib.Path(example.image),
              functools.partial(folder.regions, dataset, example),
          )
          for example in dataset.examples
      ]
      for split, dataset in found.items()
  }
  return Source(categories, splits, complete=True)
