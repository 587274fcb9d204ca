"""Folders of images and masks, in whatever way they are called.

The source, or each split in it, has the images in images, imgs or JPEGImages,
and beside them masks in masks, labels or SegmentationClass, maps of objects in
instances or SegmentationObject, or both. A dataset.json, as of the data set
'folder', tells the classes; without, the values or colours in the masks become
classes.
"""

import dataclasses
import functools

import numpy as np

from segjax.data import annotations
from segjax.data import image
from segjax.data import label_map
from segjax.data import texts
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Region
from segjax.data.annotations import Source
from segjax.data.datasets import files
from segjax.data.datasets import folder as folder_set
from segjax.data.label_map import IGNORE

IMAGES = ('images', 'imgs', 'img', 'JPEGImages')
MASKS = ('masks', 'mask', 'labels', 'annotations', 'SegmentationClass')
OBJECTS = (folder_set.OBJECTS, 'SegmentationObject')
MOST_COLORS = 255


def read(source, images, notes):
  """Reads folders of images and masks; see `annotations.read`."""
  if not source.is_dir():
    raise ValueError(f'{source} is no folder')
  tops = {'train': source}
  if images is None and not _child(source, IMAGES):
    tops = {
        annotations.SPLITS.get(path.name.lower(), path.name): path
        for path in sorted(source.iterdir())
        if path.is_dir() and _child(path, IMAGES)
    }
  if not tops:
    raise FileNotFoundError(
        f'neither {source} nor a folder in it has {", ".join(IMAGES)}'
    )
  found = {}
  for split, top in tops.items():
    folder = images or _child(top, IMAGES)
    masks, maps = _child(top, MASKS), _child(top, OBJECTS)
    if not masks and not maps:
      raise FileNotFoundError(
          f'{top} has none of {", ".join((*MASKS, *OBJECTS))}'
      )
    beside = files.TABLE if maps and not masks else ''
    examples = files.pair(folder, masks or maps, beside_masks=beside)
    for line in examples.left_out:
      notes.add(f'kinds of files left out of {line}')
    found[split] = examples, masks, maps
  first = next(iter(found.values()))
  labels = _label_map(source, first)
  splits, has_objects = {}, any(maps for _, _, maps in found.values())
  for split, (examples, masks, maps) in found.items():
    kind = files.Files if masks else files.ObjectFiles
    dataset = kind(
        split,
        examples,
        labels,
        channels=1,  # The images are not read here.
        objects=1 if maps else 0,
        objects_folder=maps or '',
    )
    splits[split] = [
        Picture(e.name, e.image, functools.partial(regions, dataset, e))
        for e in examples
    ]
  categories = [
      Category(name, color, has_objects and i in labels.things)
      for i, (name, color) in enumerate(
          zip(labels.names, labels.colors, strict=True)
      )
  ]
  return Source(categories, splits, complete=True)


def _child(top, names):
  """Returns the first of some folders that there is, or None."""
  return next((top / n for n in names if (top / n).is_dir()), None)


def _label_map(source, split):
  """Returns the classes that dataset.json tells, or those of the masks."""
  examples, masks, maps = split
  path = source / 'dataset.json'
  if path.is_file():
    labels = label_map.parse(texts.parse_json(path.read_bytes()), path)
    if labels.overlapping:
      raise ValueError(f'{path}: classes that overlap cannot be imported')
  elif not masks:
    names = folder_set.OBJECT_NAMES
    return label_map.LabelMap(
        names, label_map.default_colors(2), {0: 0, 1: 1}, things=(1,)
    )
  elif image.read_mask(examples[0].mask, colors=False).ndim == 3:
    labels = _by_colors(examples)
  else:
    labels = folder_set.count(examples)
  if maps and not labels.things:
    things = tuple(range(1, labels.num_classes))
    labels = dataclasses.replace(labels, things=things)
  return labels


def _by_colors(examples):
  """Returns a label map of the colours in masks."""
  known = set()
  for example in examples:
    mask = image.read_mask(example.mask, colors=True)
    known |= set(map(tuple, np.unique(mask.reshape(-1, 3), axis=0).tolist()))
    if len(known) > MOST_COLORS:
      raise ValueError(
          f'{example.mask} and those before it have {len(known)} colours:'
          ' masks whose edges are smoothed, or that are pictures, are none'
      )
  colors = tuple(sorted(known))
  names = tuple('color {} {} {}'.format(*color) for color in colors)
  return label_map.LabelMap(names, colors, {}, color_coded=True)


def regions(dataset, example, size, notes):
  """Returns the regions of an example: objects, and the rest by class."""
  del notes
  labels = dataset.label_map
  label = dataset.read_label(example)
  if label.shape != size:
    raise ValueError(f'{example.mask} is {label.shape}, its image {size}')
  found = []
  ids = np.zeros(size, np.int32)
  if dataset.objects:
    ids, classes, crowds = dataset.read_objects(example, label)
    ids, classes, crowds, label = files.objects.settle(
        ids, classes, crowds, label, labels.things
    )
    found = [
        Region(labels.names[kind], bitmap=(0, 0, ids == i), crowd=bool(crowd))
        for i, (kind, crowd) in enumerate(zip(classes, crowds, strict=True), 1)
    ]
  for kind in np.setdiff1d(label[ids == 0], IGNORE).tolist():
    mask = (label == kind) & (ids == 0)
    found.append(Region(labels.names[kind], bitmap=(0, 0, mask)))
  return found
