"""YOLO's segmentation files: labels/NAME.txt, a polygon in each line.

The source is a folder with data.yaml, or another YAML file that has `names`, or
that file. A line is the number of the class and x, y of the corners, in parts
of width and height. An image without a file shows no object.
"""

import functools
import pathlib

import numpy as np
import yaml

from segjax.data import image
from segjax.data import listing
from segjax.data import texts
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Region
from segjax.data.annotations import Source


def read(source, images, notes):
  """Reads YOLO's files; see `annotations.read`."""
  path, content = _description(source)
  names = content['names']
  if isinstance(names, dict):
    names = {int(i): str(name) for i, name in names.items()}
  else:
    names = {i: str(name) for i, name in enumerate(names)}
  splits = {}
  for split in ('train', 'val', 'test'):
    given = content.get(split) or ()
    for entry in [given] if isinstance(given, str) else given:
      files = _files(entry, path.parent, content.get('path'), images)
      if not files:
        notes.add(f'folders of the split {split} that are missing', entry)
      for name, file in files:
        labels = _labels(file)
        if not labels.is_file():
          notes.add('images without a file of labels, taken as empty', file)
        regions = functools.partial(_regions, labels, names, name)
        picture = Picture(name, file, regions)
        splits.setdefault(split, []).append(picture)
  if not splits:
    raise FileNotFoundError(
        f"{path}: no images where 'train', 'val' and 'test' say"
    )
  categories = [Category(names[i]) for i in sorted(names)]
  return Source(categories, splits)


def _description(source):
  """Returns the path and the content of the YAML file."""
  files = [source] if source.is_file() else sorted(source.glob('*.y*ml'))
  for path in files:
    try:
      content = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
      raise ValueError(f'{path}: not YAML, {error}') from error
    if isinstance(content, dict) and content.get('names'):
      return path, content
  raise FileNotFoundError(
      f"{source} has no YAML file with 'names' of classes and the folders"
      " 'train' and 'val', such as data.yaml"
  )


def _files(entry, folder, path, images):
  """Returns (name, path) of the images of a folder or list of a split."""
  tops = [folder, *([folder / path, pathlib.Path(path)] if path else [])]
  if images is not None:
    tops.insert(0, images)
  bare = entry.lstrip('./')  # Exports tell '../train/images' for what is here.
  options = [top / part for top in tops for part in (entry, bare)]
  option = next((option for option in options if option.exists()), None)
  if option is None:
    return []
  if option.is_dir():
    return [
        (name, pathlib.Path(file))
        for name, file in listing.find(option, image.SUFFIXES).files
    ]
  lines = texts.read(option).split()
  paths = [option.parent / line for line in lines]
  return [(path.stem, path) for path in paths if path.is_file()]


def _labels(file):
  """Returns the path of the labels of an image."""
  parts = list(file.parts)
  for i in reversed(range(len(parts) - 1)):
    if parts[i] == 'images':
      parts[i] = 'labels'
      break
  return pathlib.Path(*parts).with_suffix('.txt')


def _regions(path, names, name, size, notes):
  """Returns the regions of an image."""
  if not path.is_file():
    return []
  found = []
  for number, line in enumerate(texts.read(path).splitlines(), 1):
    if not line.strip():
      continue
    try:
      kind, *values = map(float, line.split())
    except ValueError:
      notes.add('lines that are no numbers, left out', f'{path}:{number}')
      continue
    if kind not in names:
      notes.add('lines of an unknown class, left out', f'{path}:{number}')
    elif len(values) == 4:
      notes.add('boxes without an outline, left out', f'{path}:{number}')
    elif len(values) < 6 or len(values) % 2:
      notes.add('lines that are no polygon, left out', f'{path}:{number}')
    else:
      outline = np.reshape(values, (-1, 2)) * size[::-1]
      found.append(Region(names[int(kind)], ((outline,),)))
  return found
