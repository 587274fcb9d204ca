"""COCO 2017: 80 kinds of objects, 118287 + 5000 images.

The classes are the background and the categories of the file, in its order.
Where objects overlap, smaller ones are seen, and groups lie below all.
"""

import collections
import json

import numpy as np

from segjax.data import annotations
from segjax.data import label_map
from segjax.data.annotations import coco
from segjax.data.annotations import painting
from segjax.data.datasets import files
from segjax.data.image import BadExample

ABOUT = """\
Get train2017.zip, val2017.zip and annotations_trainval2017.zip at
cocodataset.org. Expected: annotations/instances_train2017.json and
train2017/*.jpg (or images/train2017/*.jpg), and the same for val2017."""

SPLITS = {'train': 'train2017', 'val': 'val2017'}


def load(split, root, *, instances=False, objects=120):
  """Loads the objects of COCO.

  Args:
    split: 'train' or 'val'.
    root: the data directory.
    instances: whether examples have `instances` [H, W] and their tables, see
      segjax/data/datasets/README.md; the label has the classes in any case.
    objects: rows of these tables, the most objects that an image may have.
  """
  files.check_split('coco_instances', split, SPLITS)
  path, folder = find('coco_instances', 'instances', SPLITS[split], root, ABOUT)
  content = coco.load(path)
  names = coco.names_of(content, path)
  entries = collections.defaultdict(list)
  for entry in content['annotations']:
    entries[entry['image_id']].append(
        [
            entry.get('category_id'),
            entry.get('segmentation'),
            int(entry.get('iscrowd', 0)),
        ]
    )
  examples, regions, notes = files.Examples(), {}, annotations.Notes()
  listed = {file.name: file for file in folder.iterdir()}
  for entry in content['images']:
    given = entries.pop(entry['id'], [])
    without = sum(not segmentation for _, segmentation, _ in given)
    notes.add('boxes without an outline', entry['file_name'], without)
    if entry['file_name'] not in listed:
      notes.add('images that are missing', entry['file_name'])
      continue
    name = annotations.picture_name(entry['file_name'])
    image = listed[entry['file_name']]
    examples.append(files.Example(name, image, None))
    size = entry['height'], entry['width']
    # As text it takes a tenth of the memory.
    regions[name] = json.dumps([size, given], separators=(',', ':')).encode()
  check_found(examples, path, folder)
  examples.left_out = tuple(f'{path}: {line}' for line in notes.lines())
  labels = label_map.LabelMap(
      names=(annotations.BACKGROUND, *names.values()),
      colors=label_map.default_colors(1 + len(names)),
      ids={i: i for i in range(1 + len(names))},
      things=tuple(range(1, 1 + len(names))),
  )
  options = dict(channels=3, objects=objects if instances else 0)
  return _Outlines(split, examples, labels, regions, names, path, **options)


def find(name, kind, year, root, about):
  """Finds a JSON file of COCO's and the folder of its images.

  Args:
    name: of the data set.
    kind: 'instances' or 'panoptic'.
    year: of the split, such as 'train2017'.
    root: the data directory.
    about: where to get the data set, for errors.
  """
  marker = f'annotations/{kind}_{year}.json'
  root = files.find(root, name, (marker,), about, ('', 'coco'))
  folders = [root / year, root / 'images' / year]
  folder = next((folder for folder in folders if folder.is_dir()), None)
  if folder is None:
    raise FileNotFoundError(
        f'{root / marker} is there, but neither {folders[0]} nor {folders[1]}'
        f' with its images.\n{about}'
    )
  return root / marker, folder


def check_found(examples, path, folder):
  """Raises FileNotFoundError if no image of a file is there."""
  if not examples:
    raise FileNotFoundError(f'{folder} has none of the images of {path}')


class _Outlines(files.Files):
  """A split whose truth is the outlines in one JSON file."""

  has_masks = False

  def __init__(self, split, examples, labels, regions, names, path, **options):
    """Keeps the outlines.

    Args:
      split: name of the split.
      examples: the images.
      labels: the classes.
      regions: {name: JSON of size and regions} of each example.
      names: {category id: name of the class}.
      path: of the file, for errors.
      **options: see `files.Files`.
    """
    super().__init__(split, examples, labels, **options)
    self._regions, self._names, self._path = regions, names, path
    self._train_ids = {name: i for i, name in enumerate(labels.names)}

  def read_truth(self, example):
    """Returns the label of an example and, if asked for, its objects."""
    size, entries = json.loads(self._regions[example.name])
    notes, where = annotations.Notes(), f'{example.name} in {self._path}'
    regions = []
    for kind, segmentation, crowd in entries:
      if not segmentation:
        continue
      if kind not in self._names:
        raise BadExample(f'{where}: its category {kind} is not in the file')
      entry = {'segmentation': segmentation, 'iscrowd': crowd}
      regions.append(coco.region(entry, self._names[kind], notes, where))
    if None in regions:
      raise BadExample(f'{where}: {"; ".join(notes.lines())}')
    label, ids, table = painting.paint(
        regions,
        tuple(size),
        self._train_ids,
        self.label_map.things,
        0,
        notes,
        where,
    )
    if notes.count(painting.DAMAGED) or notes.count(painting.OTHER_SIZE):
      raise BadExample(f'{where}: {"; ".join(notes.lines())}')
    if not self.objects:
      return {'label': label}
    classes, crowds = np.array([*table.values()], np.uint8).reshape(-1, 2).T
    return self.with_objects(label, ids, classes, crowds, where)

  def where(self, index):
    """Names the image of an example and the file of its outlines."""
    return f'{self.examples[index].image} and {self._path}'
