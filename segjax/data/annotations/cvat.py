"""CVAT's exports 'CVAT for images 1.1' and 'Segmentation mask 1.1'.

The source is annotations.xml or its folder, with the images in images/; or a
folder with labelmap.txt, SegmentationClass, SegmentationObject and, for the
images, JPEGImages. Polygons, boxes, ellipses and masks are regions; lines,
points, cuboids and skeletons are left out. Shapes of one label and group are
one object.
"""

import functools
import re
from xml.etree import ElementTree

import numpy as np

from segjax.data import annotations
from segjax.data import image
from segjax.data import objects
from segjax.data import texts
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Region
from segjax.data.annotations import Source
from segjax.data.annotations import outlines
from segjax.data.annotations import painting


def read(source, images, notes):
  """Reads an export of CVAT's; see `annotations.read`."""
  if source.is_dir() and (source / 'labelmap.txt').is_file():
    return _read_masks(source, images, notes)
  if source.is_dir():
    found = sorted(source.glob('*.xml'))
    if len(found) != 1:
      raise FileNotFoundError(
          f'{source} has {len(found)} XML files, expected annotations.xml, or'
          " labelmap.txt of the export 'Segmentation mask 1.1'"
      )
    source = found[0]
  return _read_xml(source, images, notes)


def _read_xml(path, images, notes):
  """Reads 'CVAT for images 1.1'."""
  try:
    root = ElementTree.parse(path).getroot()
  except ElementTree.ParseError as error:
    raise ValueError(f'{path}: not XML, {error}') from error
  if root.tag != 'annotations' or root.find('track') is not None:
    raise ValueError(
        f"{path}: expected the export 'CVAT for images 1.1', this is"
        f' {"for video" if root.tag == "annotations" else root.tag}'
    )
  categories = {}
  for entry in root.iter('label'):
    name = entry.findtext('name')
    if name:
      categories[name] = Category(name, _color(entry.findtext('color')))
  folder = images or path.parent
  search = annotations.Images(folder)
  splits = {}
  for entry in root.iter('image'):
    file = search.find(entry.get('name'))
    if file is None:
      notes.add('images that are missing, left out', entry.get('name'))
      continue
    name = annotations.picture_name(entry.get('name'))
    for shape in entry:
      if label := shape.get('label'):
        categories.setdefault(label, Category(label))
    size = int(entry.get('height')), int(entry.get('width'))
    regions = functools.partial(_shapes, entry, name)
    picture = Picture(name, file, regions, size)
    subset = (entry.get('subset') or '').lower()
    split = annotations.SPLITS.get(subset, 'train')
    splits.setdefault(split, []).append(picture)
  if not splits:
    raise FileNotFoundError(
        f'{path}: none of its images is in {folder}; give their folder as'
        ' --images'
    )
  return Source(list(categories.values()), splits)


def _color(text):
  """Returns the colour of '#rrggbb', None of anything else."""
  if not re.fullmatch('#[0-9a-fA-F]{6}', text or ''):
    return None
  return tuple(bytes.fromhex(text[1:]))


def _shapes(entry, name, size, notes):
  """Returns the regions of an `image` element."""
  del size
  found = []
  for shape in entry:
    kind, label = shape.tag, shape.get('label')
    group = shape.get('group_id')
    layer = int(shape.get('z_order') or 0)
    options = dict(layer=layer, group=None if group in (None, '0') else group)
    if kind in ('polygon', 'box', 'ellipse'):
      found.append(Region(label, ((_outline(shape),),), **options))
    elif kind != 'mask':
      if label:
        notes.add(f"shapes '{kind}', which have no area, left out", name)
    elif (bitmap := _bitmap(shape)) is not None:
      found.append(Region(label, bitmap=bitmap, **options))
    else:
      notes.add(painting.DAMAGED, name)
  return found


def _outline(shape):
  """Returns the outline [N, 2] of a `polygon`, `box` or `ellipse` element."""

  def numbers(*keys):
    return [float(shape.get(key)) for key in keys]

  if shape.tag == 'polygon':
    pairs = [pair.split(',') for pair in shape.get('points').split(';')]
    return np.array(pairs, np.float64)
  if shape.tag == 'box':
    outline = outlines.rectangle(*numbers('xtl', 'ytl', 'xbr', 'ybr'))
  else:
    outline = outlines.ellipse(numbers('cx', 'cy'), numbers('rx', 'ry'))
  angle = np.deg2rad(float(shape.get('rotation') or 0))
  return outlines.turned(outline, angle)


def _bitmap(shape):
  """Returns the bitmap of a `mask` element, whose runs go along rows."""
  left, top, width, height = (
      int(shape.get(key)) for key in ('left', 'top', 'width', 'height')
  )
  try:
    runs = np.array(shape.get('rle').split(','), np.int64)
  except ValueError:
    return None
  if runs.min() < 0 or runs.sum() != width * height:
    return None
  flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
  return top, left, flat.reshape(height, width)


def _read_masks(source, images, notes):
  """Reads 'Segmentation mask 1.1'."""
  colors = {}
  for line in texts.read(source / 'labelmap.txt').splitlines():
    if line.strip() and not line.startswith('#'):
      name, color, *_ = line.split(':')
      colors[name] = tuple(int(value) for value in color.split(','))
  folder = images or source / 'JPEGImages'
  if not folder.is_dir():
    raise FileNotFoundError(
        f'{source} has no JPEGImages: export with images, or give their folder'
        ' as --images'
    )
  search = annotations.Images(folder)
  masks = annotations.Images(source / 'SegmentationClass')
  has_objects = (source / 'SegmentationObject').is_dir()
  members = {
      line.strip(): annotations.SPLITS.get(path.stem.lower(), 'train')
      for path in (source / 'ImageSets/Segmentation').glob('*.txt')
      for line in texts.read(path).splitlines()
  }
  splits = {}
  for name, mask in masks:
    file = search.find(name)
    if file is None:
      notes.add('masks without an image, left out', mask)
      continue
    inside = mask.relative_to(source / 'SegmentationClass')
    of_objects = source / 'SegmentationObject' / inside
    regions = functools.partial(
        _of_masks, mask, of_objects if has_objects else None, colors, name
    )
    split = members.get(name, 'train')
    splits.setdefault(split, []).append(Picture(name, file, regions))
  if not splits:
    raise FileNotFoundError(f'{folder} has no image of a mask of {source}')
  categories = [
      Category(name, color, has_objects and name != annotations.BACKGROUND)
      for name, color in colors.items()
  ]
  return Source(categories, splits)


def _of_masks(path, of_objects, colors, name, size, notes):
  """Returns the regions of a mask in colours and a map of objects."""
  mask = image.read_mask(path, colors=True).astype(np.int64)
  packed = mask @ np.array([1, 256, 65536])
  ids = np.zeros(packed.shape, np.int32)
  if of_objects is not None and of_objects.is_file():
    known = image.read_mask(of_objects, colors=True).astype(np.int64)
    ids, _ = objects.dense(known @ np.array([1, 256, 65536]))
  if packed.shape != size or ids.shape != size:
    raise ValueError(f'{path} is {packed.shape}, and its image is {size}')
  found = []
  rest = np.ones(size, bool)
  for kind, (red, green, blue) in colors.items():
    inside = packed == red + 256 * green + 65536 * blue
    rest &= ~inside
    if kind == annotations.BACKGROUND:
      continue
    for i in np.unique(ids[inside]).tolist():
      bitmap = 0, 0, inside & (ids == i)
      found.append(Region(kind, bitmap=bitmap))
  if rest.any():
    notes.add('masks with colours that labelmap.txt lacks, ignored there', name)
    found.append(Region(annotations.IGNORED, bitmap=(0, 0, rest)))
  return found
