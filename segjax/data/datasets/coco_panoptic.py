"""COCO 2017, panoptic: 80 kinds of things, 53 of stuff, 118287 + 5000 images.

The classes are the categories of the file, in its order, things first. Pixels
of no segment are ignored.
"""

import numpy as np

from segjax.data import annotations
from segjax.data import label_map
from segjax.data import objects as object_maps
from segjax.data.annotations import coco
from segjax.data.datasets import coco_instances
from segjax.data.datasets import files
from segjax.data.label_map import IGNORE

ABOUT = """\
Get train2017.zip, val2017.zip and panoptic_annotations_trainval2017.zip at
cocodataset.org, and unpack the two archives in it, too. Expected:
annotations/panoptic_train2017.json, annotations/panoptic_train2017/*.png and
train2017/*.jpg (or images/train2017/*.jpg), and the same for val2017."""

SPLITS = {'train': 'train2017', 'val': 'val2017'}


def load(split, root, *, instances=False, objects=250, stuff_first=False):
  """Loads the segments of COCO.

  Args:
    split: 'train' or 'val'.
    root: the data directory.
    instances: whether examples have `instances` [H, W] and their tables, see
      segjax/data/datasets/README.md; the label has the classes in any case.
    objects: rows of these tables, the most objects that an image may have.
    stuff_first: whether classes of stuff come before those of things, for
      systems to which class 0 is no object.
  """
  files.check_split('coco_panoptic', split, SPLITS)
  path, folder = coco_instances.find(
      'coco_panoptic', 'panoptic', SPLITS[split], root, ABOUT
  )
  segments = _folder_of_segments(path)
  content = coco.load(path)
  names = coco.names_of(content, path)
  categories = {
      entry['id']: coco.category(entry, names[entry['id']])
      for entry in content['categories']
  }
  if stuff_first:
    ordered = sorted(categories.items(), key=lambda item: item[1].thing)
    categories = dict(ordered)
  train_ids = {category: i for i, category in enumerate(categories)}
  file_names = {entry['id']: entry['file_name'] for entry in content['images']}
  listed = {file.name: file for file in folder.iterdir()}
  masks = {file.name: file for file in segments.iterdir()}
  examples, tables, notes = files.Examples(), {}, annotations.Notes()
  for entry in content['annotations']:
    file_name = file_names.get(entry['image_id'])
    if file_name not in listed:
      notes.add('images that are missing', file_name)
      continue
    if entry['file_name'] not in masks:
      notes.add('images whose segments are missing', entry['file_name'])
      continue
    name = annotations.picture_name(file_name)
    examples.append(
        files.Example(name, listed[file_name], masks[entry['file_name']])
    )
    # Number, train id and whether it is a group, of each segment.
    tables[name] = np.array(
        [
            (
                info['id'],
                train_ids.get(info['category_id'], IGNORE),
                info.get('iscrowd', 0),
            )
            for info in entry['segments_info']
        ],
        np.int32,
    ).reshape(-1, 3)
  coco_instances.check_found(examples, path, folder)
  examples.left_out = tuple(f'{path}: {line}' for line in notes.lines())
  categories = list(categories.values())
  colors = label_map.default_colors(len(categories))
  labels = label_map.LabelMap(
      names=tuple(category.name for category in categories),
      colors=tuple(c.color or colors[i] for i, c in enumerate(categories)),
      ids={i: i for i in range(len(categories))},
      things=tuple(i for i, c in enumerate(categories) if c.thing),
  )
  options = dict(channels=3, objects=objects if instances else 0)
  return _Segments(split, examples, labels, tables, **options)


def _folder_of_segments(path):
  """Returns the folder of the PNGs of a file."""
  folders = [path.with_suffix(''), path.parent.parent / path.stem]
  for folder in folders:
    if folder.is_dir():
      return folder
  raise FileNotFoundError(
      f'{path} is there, but neither {folders[0]} nor {folders[1]} with its'
      f' segments.\n{ABOUT}'
  )


class _Segments(files.Files):
  """A split whose masks hold the number of its segment at each pixel."""

  has_masks = False

  def __init__(self, split, examples, labels, tables, **options):
    super().__init__(split, examples, labels, **options)
    self._tables_of = tables

  def read_truth(self, example):
    """Returns the label of an example and, if asked for, its objects."""
    numbers = object_maps.read_numbers(example.mask)
    ids, numbers = object_maps.dense(numbers)
    table = {
        number: (kind, crowd)
        for number, kind, crowd in self._tables_of[example.name].tolist()
    }
    classes, crowds = object_maps.look_up(numbers, table, example.mask)
    label = np.append(np.uint8(IGNORE), classes)[ids]
    if not self.objects:
      return {'label': label}
    return self.with_objects(label, ids, classes, crowds, example.mask)
