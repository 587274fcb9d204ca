"""Cityscapes: 19 classes, street scenes of 2048x1024 from 50 cities.

2975 training and 500 validation images have fine labels; the labels of the 1525
test images are blank. 'train_extra' has 19998 more images with coarse labels.
With `instances=True` the 8 classes of people and vehicles are counted objects.
"""

import dataclasses

import numpy as np

from segjax.data import label_map
from segjax.data import objects as object_maps
from segjax.data.datasets import files
from segjax.data.label_map import IGNORE

ABOUT = """\
Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (for train_extra
leftImg8bit_trainextra.zip and gtCoarse.zip) at www.cityscapes-dataset.com.
Expected: leftImg8bit/train/CITY/*_leftImg8bit.png and
gtFine/train/CITY/*_gtFine_labelIds.png, and with instances=True
gtFine/train/CITY/*_gtFine_instanceIds.png."""

THINGS = tuple(range(11, 19))  # From person to bicycle.
FIRST_OBJECT = 1000  # Numbers from here on are label id * 1000 + object.

SPLITS = {
    'train': 'gtFine',
    'val': 'gtFine',
    'test': 'gtFine',
    'train_extra': 'gtCoarse',
}

RESULTS = {'instance_files': True}


def load(split, root, *, instances=False, objects=300):
  """Loads a split of Cityscapes.

  Args:
    split: a key of `SPLITS`.
    root: the data directory.
    instances: whether examples have `instances` [H, W] and their tables, see
      segjax/data/datasets/README.md.
    objects: rows of these tables, the most objects that an image may have.
  """
  files.check_split('cityscapes', split, SPLITS)
  root = files.find(root, 'cityscapes', ('leftImg8bit',), ABOUT)
  folder = SPLITS[split]
  examples = files.pair(
      root / 'leftImg8bit' / split,
      root / folder / split,
      image_suffixes=('_leftImg8bit.png',),
      mask_suffixes=(f'_{folder}_labelIds.png',),
  )
  labels = label_map.read('cityscapes')
  if not instances:
    return files.Files(split, examples, labels, channels=3)
  files.check_exist([_instance_ids(example) for example in examples])
  labels = dataclasses.replace(labels, things=THINGS)
  return _Objects(split, examples, labels, channels=3, objects=objects)


def _instance_ids(example):
  """Returns the path of the numbers of objects of an example."""
  path = example.mask
  return path.with_name(path.name.replace('_labelIds.', '_instanceIds.'))


class _Objects(files.Files):
  """A split with the owners' numbers of objects.

  A number below 1000 is a label id: of stuff or, if objects have it, of a group
  of them that nobody told apart.
  """

  def read_objects(self, example, label):
    """Returns the ids [H, W], classes [N] and crowds [N] of an example."""
    path = _instance_ids(example)
    ids, numbers = object_maps.dense(object_maps.read_numbers(path))
    files.check_size(path, ids, example.mask, label)
    is_object = numbers >= FIRST_OBJECT
    label_ids = np.where(is_object, numbers // FIRST_OBJECT, numbers)
    known = self.label_map.ids
    classes = [known.get(i, IGNORE) for i in label_ids.tolist()]
    return ids, np.array(classes, np.uint8), (~is_object).astype(np.uint8)

  def compare_objects(self, index):
    """Compares nothing: the numbers themselves tell the classes."""
    del index
    return {}, 0

  def where_objects(self, example):
    """Names the file of the objects of an example."""
    return _instance_ids(example)
