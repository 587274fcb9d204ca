"""COCO's files: instances, with polygons and runs, and panoptic ones.

The source is a JSON file, or a folder with annotations/instances_*.json,
annotations/panoptic_*.json, or a JSON file beside the images of each split, as
in train/_annotations.coco.json. The PNGs of panoptic_X.json lie in panoptic_X.
"""

import collections
import functools
import pathlib
import re

import numpy as np

from segjax.data import annotations
from segjax.data import objects
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Region
from segjax.data.annotations import Source

# Files of COCO's archives that tell no regions.
OTHERS = ('captions', 'person_keypoints', 'image_info')


def read(source, images, notes):
  """Reads COCO's instances or panoptic segments; see `annotations.read`."""
  categories, splits, complete = {}, {}, []
  for path in _files(source):
    content = load(path)
    split = _split(path)
    if split in splits:
      raise ValueError(
          f'{source} has two files of the split {split}, one is {path}: give'
          ' one of them, and --split for its name'
      )
    names = names_of(content, path)
    for entry in content['categories']:
      name = names[entry['id']]
      categories.setdefault(name, category(entry, name))
    is_panoptic = any('segments_info' in a for a in content['annotations'])
    complete.append(is_panoptic)
    splits[split] = _pictures(
        content, path, names, images, split, is_panoptic, notes
    )
  if len(set(complete)) > 1:
    raise ValueError(
        f'{source} has files of instances and of panoptic segments: give one,'
        ' such as annotations/instances_train2017.json'
    )
  return Source(list(categories.values()), splits, complete[0])


def load(path: pathlib.Path) -> dict:
  """Returns the content of one of COCO's JSON files.

  Raises:
    ValueError: it is none.
  """
  content = annotations.read_json(path)
  needed = {'images', 'annotations', 'categories'}
  lacking = needed - set(content if isinstance(content, dict) else ())
  if lacking:
    raise ValueError(
        f"{path}: no file of COCO's, {', '.join(sorted(lacking))} is missing"
    )
  return content


def names_of(content: dict, where: object) -> dict[int, str]:
  """Returns {category id: name}, with the id where a name is not unique."""
  counts = collections.Counter(c.get('name') for c in content['categories'])
  names = {}
  for entry in content['categories']:
    if 'id' not in entry:
      raise ValueError(f'{where}: a category has no id, {entry}')
    name = str(entry.get('name') or f'category {entry["id"]}')
    if counts[entry.get('name')] > 1:
      name = f'{name} {entry["id"]}'
    names[entry['id']] = name
  return names


def category(entry: dict, name: str) -> Category:
  """Returns the class of an entry of `categories`."""
  color = entry.get('color')
  return Category(
      name,
      tuple(color) if isinstance(color, list) and len(color) == 3 else None,
      bool(entry.get('isthing', 1)),
  )


def region(entry: dict, name: str, notes, where: object) -> Region | None:
  """Returns the region of an entry of `annotations`, None if it has none."""
  given = entry.get('segmentation')
  crowd = bool(entry.get('iscrowd', 0))
  if isinstance(given, dict):
    return Region(name, runs=given, crowd=crowd)
  if not isinstance(given, list) or not given:
    notes.add('boxes without an outline, left out', where)
    return None
  polygons = given if isinstance(given[0], list) else [given]
  parts = []
  for flat in polygons:
    try:
      parts.append((np.array(flat, np.float64).reshape(-1, 2),))
    except (ValueError, TypeError):
      notes.add('outlines that are no list of x and y, left out', where)
  return Region(name, tuple(parts), crowd=crowd) if parts else None


def _files(source):
  """Lists the JSON files of a source."""
  if source.is_file():
    return [source]
  for pattern in ('annotations/*.json', '*.json', '*/*.json'):
    found = [
        path
        for path in sorted(source.glob(pattern))
        if not path.name.startswith(('.', *OTHERS))
    ]
    kinds = {path.name.partition('_')[0] for path in found}
    if {'instances', 'panoptic'} <= kinds:
      raise ValueError(
          f'{source} has instances and panoptic segments: give one file, such'
          f' as {found[0]}'
      )
    if found:
      return found
  raise FileNotFoundError(
      f'{source} has no JSON files, neither in annotations nor beside images'
  )


def _split(path):
  """Returns the split that a file or its folder is named after."""
  for word in (*re.findall('[a-z]+', path.stem.lower()), path.parent.name):
    if word in annotations.SPLITS:
      return annotations.SPLITS[word]
  return 'train'


def _folders(path, split, images):
  """Lists the folders where the images of a JSON file may be."""
  if images is not None:
    return [images]
  suffix = path.stem.partition('_')[2]
  inside = ('', 'images', suffix, f'images/{suffix}', split, f'images/{split}')
  tops = (path.parent, path.parent.parent)
  return [top / part for top in tops for part in inside]


def _pictures(content, path, names, images, split, is_panoptic, notes):
  """Returns the pictures of a file."""
  of_image = collections.defaultdict(list)
  for entry in content['annotations']:
    of_image[entry.get('image_id')].append(entry)
  folders = [f for f in _folders(path, split, images) if f.is_dir()]
  pictures = []
  for entry in content['images']:
    file_name = entry['file_name'].replace('\\', '/').lstrip('/')
    options = [folder / file_name for folder in folders]
    file = next((option for option in options if option.is_file()), None)
    if file is None or '..' in pathlib.PurePosixPath(file_name).parts:
      notes.add('images that are missing, left out', file_name)
      continue
    # The next image will most likely lie in the same folder.
    folders.insert(0, folders.pop(options.index(file)))
    reader = _segments if is_panoptic else _regions
    size = entry.get('height'), entry.get('width')
    name = annotations.picture_name(file_name)
    entries = of_image.pop(entry['id'], [])
    if is_panoptic and not entries:
      notes.add('images without a file of segments, left out', file_name)
      continue
    given = {'folder': path.with_suffix('')} if is_panoptic else {}
    regions = functools.partial(reader, entries, names, name, **given)
    pictures.append(Picture(name, file, regions, size if all(size) else None))
  if content['images'] and not pictures:
    looked = ', '.join(map(str, _folders(path, split, images)))
    raise FileNotFoundError(
        f'{path}: none of its {len(content["images"])} images is there, such as'
        f' {content["images"][0]["file_name"]}; looked in {looked}. Give the'
        ' folder of the images as --images.'
    )
  return pictures


def _regions(entries, names, name, size, notes):
  """Returns the regions of an image."""
  del size
  found = []
  for entry in entries:
    kind = names.get(entry.get('category_id'))
    if kind is None:
      notes.add('regions of an unknown category, left out', name)
    elif (known := region(entry, kind, notes, name)) is not None:
      found.append(known)
  return found


def _segments(entries, names, name, size, notes, *, folder):
  """Returns the segments of an image of a panoptic file."""
  del size
  entry = entries[0]
  notes.add('further files of segments of an image', name, len(entries) - 1)
  numbers = objects.read_numbers(folder / entry['file_name'])
  ids, known = objects.dense(numbers)
  infos = {info['id']: info for info in entry['segments_info']}
  found = []
  for i, number in enumerate(known.tolist(), 1):
    info = infos.pop(number, None)
    kind = names.get(info['category_id']) if info else None
    if kind is None:
      notes.add('segments without a known category, ignored', name)
      continue
    bitmap = 0, 0, ids == i
    crowd = bool(info.get('iscrowd', 0))
    found.append(Region(kind, bitmap=bitmap, crowd=crowd))
  notes.add('segments that no pixel is of', name, len(infos))
  return found
