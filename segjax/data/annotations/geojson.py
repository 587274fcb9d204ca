"""GeoJSON: NAME.geojson, or NAME.json, beside each image or in a folder.

Polygons are in pixels, (0, 0) the upper left corner, unless the image is a
TIFF that tells where on the map it lies: then they are in its coordinate
system. A feature is an object, with holes and pieces; its class is a property.
"""

import functools
import re

import numpy as np
import tifffile

from segjax.data import annotations
from segjax.data import formats
from segjax.data import image
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Region
from segjax.data.annotations import Source

PROPERTIES = ('class', 'label', 'name', 'category', 'classification', 'type')
ENDS = ('.geojson', '.json')
WGS84 = 4326
UNKNOWN = (0, 32767)  # Of the keys of a TIFF, for systems of one's own.


def read(source, images, notes, *, class_property=''):
  """Reads GeoJSON; see `annotations.read`.

  Args:
    source: folder of the files.
    images: folder of the images.
    notes: where what is left out is counted.
    class_property: name of the property that tells the class of a feature; by
      default the first of class, label, name, category, classification, type.
  """
  if not source.is_dir():
    raise ValueError(f'{source}: GeoJSON is read by folders')
  search = annotations.Images(images or source)
  splits, found = {}, set()
  for path, content in annotations.json_files(
      source, ENDS, _load, 'GeoJSON', notes
  ):
    split, top = annotations.split_of(path, source)
    name = annotations.picture_name(str(path.relative_to(top)))
    file = _beside(path) or search.find(name)
    if file is None:
      notes.add('files without their image, left out', path)
      continue
    found |= {_class(f, class_property) for f in content['features']}
    regions = functools.partial(_regions, path, file, class_property, name)
    splits.setdefault(split, []).append(Picture(name, file, regions))
  if not splits:
    raise FileNotFoundError(f'{source} has no GeoJSON files with images')
  if found == {None} and class_property:
    raise ValueError(
        f'no feature in {source} has the property {class_property!r}'
    )
  if None in found and found != {None}:
    found.discard(None)
  names = sorted(name or 'object' for name in found)
  return Source([Category(name) for name in names], splits)


def _beside(path):
  """Returns the image of the same name beside a file, if there is one."""
  for end in image.SUFFIXES:
    for option in (path.with_suffix(end), path.with_suffix(end.upper())):
      if option.is_file():
        return option
  return None


def _load(path):
  """Returns a collection of features, None if a file has none."""
  content = annotations.read_json(path)
  if isinstance(content, list):  # As some programs write it.
    content = {'type': 'FeatureCollection', 'features': content}
  if not isinstance(content, dict):
    return None
  if content.get('type') == 'Feature':
    return content | {'features': [content]}
  is_one = content.get('type') == 'FeatureCollection'
  return content if is_one and 'features' in content else None


def _class(feature, class_property):
  """Returns the class of a feature, None if it has none."""
  properties = feature.get('properties') or {}
  for key in [class_property] if class_property else PROPERTIES:
    value = properties.get(key)
    if isinstance(value, dict):
      value = value.get('name')
    if value not in (None, ''):
      return str(value)
  return None


def _regions(path, file, class_property, name, size, notes):
  """Returns the regions of a file."""
  del size
  content = _load(path)
  to_pixels = _placement(file, content, path)
  features = content['features']
  classes = [_class(feature, class_property) for feature in features]
  if not any(classes):
    classes = ['object'] * len(features)
  found = []
  for feature, kind in zip(features, classes, strict=True):
    if kind is None:
      notes.add('features without a class, left out', name)
      continue
    parts = tuple(_polygons(feature.get('geometry') or {}, notes, name))
    parts = tuple(tuple(map(to_pixels, rings)) for rings in parts)
    if parts:
      found.append(Region(kind, parts))
  return found


def _polygons(geometry, notes, name):
  """Yields the polygons of a geometry, each an outline and its holes."""
  kind = geometry.get('type')
  if kind == 'GeometryCollection':
    for part in geometry['geometries']:
      yield from _polygons(part, notes, name)
  elif kind in ('Polygon', 'MultiPolygon'):
    given = geometry['coordinates']
    for rings in [given] if kind == 'Polygon' else given:
      yield tuple(np.array([p[:2] for p in ring], float) for ring in rings)
  else:
    notes.add(f"geometries '{kind}', which have no area, left out", name)


def _placement(file, content, path):
  """Returns a function from coordinates [N, 2] to pixels (x, y).

  Raises:
    ValueError: the file and its image are in different coordinate systems.
  """
  with file.open('rb') as stream:
    is_tiff = stream.read(4) in formats.TIFF
  if not is_tiff:
    return lambda points: points
  with tifffile.TiffFile(file) as tiff:
    tags = tiff.pages[0].tags
    scale, ties = tags.valueof(33550), tags.valueof(33922)
    matrix, keys = tags.valueof(34264), tags.valueof(34735)
  if matrix is not None:
    matrix = np.reshape(matrix, (4, 4))[[0, 1]][:, [0, 1, 3]]
  elif scale is not None and ties is not None:
    column, row, _, x, y, _ = ties[:6]
    matrix = np.array(
        [
            (scale[0], 0, x - scale[0] * column),
            (0, -scale[1], y + scale[1] * row),
        ]
    )
  else:
    return lambda points: points
  known = dict(zip(keys[4::4], keys[7::4], strict=False)) if keys else {}
  system = known.get(3072) or known.get(2048) or 0
  given = _system(content)
  if system not in (*UNKNOWN, given):
    raise ValueError(
        f'{path} is in the coordinate system EPSG:{given}, and its image'
        f' {file} in EPSG:{system}: convert it first, as with ogr2ogr -t_srs'
        f' EPSG:{system}, and keep its member crs'
    )
  shift = 0.5 if known.get(1025) == 2 else 0.0  # Places are those of centres.
  inverse = np.linalg.inv(matrix[:, :2])
  return lambda points: (points - matrix[:, 2]) @ inverse.T + shift


def _system(content):
  """Returns the EPSG number of the coordinates of a file."""
  name = ((content.get('crs') or {}).get('properties') or {}).get('name', '')
  numbers = re.findall(r'EPSG:+(?:[\d.]*:)?(\d+)', str(name))
  return int(numbers[0]) if numbers else WGS84
