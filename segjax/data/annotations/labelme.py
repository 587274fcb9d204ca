"""labelme's files: NAME.json beside each image.

Polygons, rectangles, circles and masks are regions; lines and points are left
out. Shapes of one label and group are one object; later ones lie on top.
Labels that begin and end with '_' mean what labelme's tools take them for:
'_background_', and '__ignore__' for pixels to ignore. A labels.txt tells the
order of the classes.
"""

import base64
import functools
import pathlib

import numpy as np

from segjax.data import annotations
from segjax.data import formats
from segjax.data import texts
from segjax.data.annotations import Category
from segjax.data.annotations import Picture
from segjax.data.annotations import Region
from segjax.data.annotations import Source
from segjax.data.annotations import outlines


def read(source, images, notes):
  """Reads labelme's files; see `annotations.read`."""
  if not source.is_dir():
    raise ValueError(f"{source}: labelme's files are read by folders")
  splits, found = {}, set()
  labelled = set()
  search = annotations.Images(images) if images else None
  for path, content in annotations.json_files(
      source, ('.json',), _load, "labelme's", notes
  ):
    picture = _picture(path, content, search, source)
    if picture is None:
      notes.add('files without their image, left out', path)
      continue
    labelled.add(picture.image.resolve())
    found |= {str(shape.get('label')) for shape in content['shapes']}
    split, _ = annotations.split_of(path, source)
    splits.setdefault(split, []).append(picture)
  if not splits:
    raise FileNotFoundError(f"{source} has no files of labelme's with images")
  others = annotations.Images(images or source)
  unlabelled = [path for _, path in others if path.resolve() not in labelled]
  if unlabelled:
    notes.add('images without a file, left out', unlabelled[0], len(unlabelled))
  order = _order(source)
  names = [n for n in order if n in found] + sorted(found - set(order))
  return Source([Category(_meaning(name)) for name in names], splits)


def _meaning(label):
  """Returns the name of the class that a label means."""
  if label.strip('_') == annotations.BACKGROUND and label.startswith('_'):
    return annotations.BACKGROUND
  return label


def _order(source):
  """Returns the labels of labels.txt, if there is one."""
  path = source / 'labels.txt'
  if not path.is_file():
    return []
  return [line.strip() for line in texts.read(path).splitlines()]


def _load(path):
  """Returns the content of a file, None if it is not one of labelme's."""
  content = annotations.read_json(path)
  is_one = isinstance(content, dict) and isinstance(content.get('shapes'), list)
  return content if is_one else None


def _picture(path, content, search, source):
  """Returns the picture of a file, None if there is no image."""
  _, top = annotations.split_of(path, source)
  name = annotations.picture_name(str(path.relative_to(top)))
  given = str(content.get('imagePath') or '').replace('\\', '/')
  file_name = pathlib.PurePosixPath(given).name
  options = [path.parent / given, path.parent / file_name] if given else []
  file = next((option for option in options if option.is_file()), None)
  if file is None and search is not None:
    file = search.find(file_name) or search.find(path.stem)
  data = None
  if file is None and content.get('imageData'):
    data = base64.b64decode(content['imageData'])
    file = path.parent / (file_name or f'{path.stem}.png')
  if file is None:
    return None
  size = content.get('imageHeight'), content.get('imageWidth')
  return Picture(
      name,
      file,
      functools.partial(_regions, path, name),
      size if all(size) else None,
      data,
  )


def _regions(path, name, size, notes):
  """Returns the regions of a file."""
  del size
  found = []
  for layer, shape in enumerate(_load(path)['shapes']):
    kind = shape.get('shape_type') or 'polygon'
    label = _meaning(str(shape.get('label')))
    options = dict(layer=layer, group=shape.get('group_id'))
    points = np.array(shape.get('points') or [], np.float64).reshape(-1, 2)
    if kind == 'mask' and shape.get('mask'):
      mask = _mask(path, shape['mask'])
      column, row = np.rint(points.min(0)).astype(int).tolist()
      found.append(Region(label, bitmap=(row, column, mask), **options))
    elif kind in ('polygon', 'rectangle', 'circle', 'oriented_rectangle'):
      outline = _outline(kind, points)
      found.append(Region(label, ((outline,),), **options))
    else:
      notes.add(f"shapes '{kind}', which have no area, left out", name)
  return found


def _mask(path, text):
  """Returns the mask [h, w] of the text of a PNG."""
  try:
    pixels = formats.decode(base64.b64decode(text)).pixels
  except Exception as error:  # Decoders raise errors of any type.
    raise ValueError(f'{path}: a mask is damaged, {error}') from error
  return (pixels if pixels.ndim == 2 else pixels[..., 0]) > 0


def _outline(kind, points):
  """Returns the corners [N, 2] of a shape."""
  if kind == 'rectangle' and len(points) == 2:
    return outlines.rectangle(*points.ravel())
  if kind == 'circle' and len(points) == 2:
    return outlines.ellipse(points[0], np.linalg.norm(points[1] - points[0]))
  return points
