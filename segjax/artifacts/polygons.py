"""Predictions as polygons: COCO's JSON, and GeoJSON.

Polygons go along the edges of pixels, with holes, so that filling them gives
the predicted mask again, pixel by pixel. An object is one entry, in one part or
in several; of a class that is not counted, each connected region is one.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import json
from typing import Any

from etils import epath
import numpy as np

from segjax.data import coco_masks
from segjax.data import rasters
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.runtime import atomic

FORMATS = ('coco', 'geojson')


@dataclasses.dataclass(frozen=True)
class Segment:
  """Pixels of a class in an image, or of one object.

  Attributes:
    category: the class, a train id.
    mask: [H, W] booleans.
    score: of an object; None for all pixels of a class.
  """

  category: int
  mask: np.ndarray
  score: float | None = None


def of_labels(labels: np.ndarray) -> Iterator[Segment]:
  """Yields the pixels of each class of a label map [H, W]."""
  for category in np.unique(labels):
    yield Segment(int(category), labels == category)


def trace(
    mask: np.ndarray, transform: Any = None
) -> list[list[list[tuple[float, float]]]]:
  """Returns the polygons of the connected regions of a mask.

  Pixels that touch at a corner only are not connected.

  Args:
    mask: [H, W] booleans.
    transform: from (column, row) to coordinates, an `affine.Affine`; None for
      pixels, x to the right and y down, where 0 is the edge of the first one.

  Returns:
    For each region its rings, the outline first and then the holes; a ring is a
    list of corners (x, y), of which the last one is the first again.
  """
  package = rasters.rasterio()
  rows, columns = (np.flatnonzero(mask.any(1 - axis)) for axis in (0, 1))
  if not len(rows):
    return []
  box = package.windows.Window.from_slices(
      (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
  )
  window = mask[box.toslices()].astype(np.uint8)
  transform = transform or package.Affine.identity()
  shapes = package.features.shapes(
      window,
      mask=window > 0,
      connectivity=4,
      transform=package.windows.transform(box, transform),
  )
  return [shape['coordinates'] for shape, _ in shapes]


def entries(
    segment: Segment, transform: Any = None
) -> list[list[list[list[tuple[float, float]]]]]:
  """Returns the polygons of each entry that is written of a segment.

  Args:
    segment: whose regions are one entry if it is an object, else one each.
    transform: see `trace`.
  """
  polygons = trace(segment.mask, transform)
  if segment.score is None:
    return [[polygon] for polygon in polygons]
  return [polygons] if polygons else []


class GeoJson:
  """Writes NAME.geojson, a collection of features, for each image.

  Coordinates are those of the map if the image is georeferenced, in its own
  reference system, which the member `crs` names as GDAL and QGIS read it; else
  pixels, x to the right and y down.
  """

  summary = ''

  def __init__(
      self,
      label_map: LabelMap,
      sources: Mapping[str, epath.Path],
      raw_ids: RawIds | None = None,
  ):
    """Checks that rasterio is there.

    Args:
      label_map: names of the classes.
      sources: {name of an image: its path}.
      raw_ids: what classes are called; None for train ids.
    """
    rasters.rasterio()
    self._label_map, self._sources = label_map, sources
    self._raw_ids = raw_ids

  def files(self, name: str) -> list[str]:
    """Returns the names of the files that `write` makes of an image."""
    return [f'{name}.geojson']

  def write(
      self,
      folder: epath.Path,
      name: str,
      size: tuple[int, int],
      segments: Iterable[Segment],
  ) -> None:
    """Writes the polygons of an image.

    Args:
      folder: to write to.
      name: of the image.
      size: (height, width) of the image; not used.
      segments: what is predicted.
    """
    del size
    place = rasters.georeference(self._sources[name])
    transform, crs = (place.transform, place.crs) if place else (None, None)
    features = []
    for segment in segments:
      for polygons in entries(segment, transform):
        features.append(self.feature(segment.category, polygons, segment.score))
    self.save(folder / f'{name}.geojson', features, crs)

  def feature(
      self, category: int, polygons: list, score: float | None = None
  ) -> dict:
    """Returns a feature with its class and, of an object, its score."""
    properties = _about(self._label_map, self._raw_ids, category)
    if score is not None:
      properties['score'] = score
    single = len(polygons) == 1
    return {
        'type': 'Feature',
        'properties': properties,
        'geometry': {
            'type': 'Polygon' if single else 'MultiPolygon',
            'coordinates': polygons[0] if single else polygons,
        },
    }

  def save(self, path: epath.Path, features: Iterable[dict], crs: Any) -> None:
    """Writes a collection of features, one a line."""
    head = {'type': 'FeatureCollection'}
    if crs:
      authority = crs.to_authority()
      name = 'urn:ogc:def:crs:{}::{}'.format(*authority) if authority else None
      head['crs'] = {
          'type': 'name',
          'properties': {'name': name or crs.to_wkt()},
      }
    with atomic.replacing(path) as file:
      file.write(f'{json.dumps(head)[:-1]}, "features": ['.encode())
      separator = '\n'
      for feature in features:
        file.write(f'{separator}{json.dumps(feature)}'.encode())
        separator = ',\n'
      file.write(b'\n]}\n')

  def finish(self, folder: epath.Path) -> None:
    """Writes what is about all images together: nothing."""


class Coco:
  """Writes polygons.json, a data set in COCO's format, of all images.

  `segmentation` is a list of polygons or, of what has holes, which these cannot
  tell, compressed runs. Images and annotations are numbered from 1 on; with raw
  ids an image of COCO keeps its number. The `score` of objects is our addition.
  """

  summary = 'polygons.json'

  def __init__(
      self,
      label_map: LabelMap,
      sources: Mapping[str, epath.Path],
      raw_ids: RawIds | None = None,
  ):
    """See `GeoJson.__init__`."""
    rasters.rasterio()
    self._label_map, self._sources = label_map, sources
    self._raw_ids = raw_ids
    self._written = {}  # Images and their annotations, by name.

  def files(self, name: str) -> list[str]:
    """Returns the names of the files of an image: there is one for all."""
    del name
    return []

  def resume(self, folder: epath.Path) -> set[str]:
    """Takes over what polygons.json tells of an earlier prediction.

    Returns:
      The names of its images.
    """
    content = json.loads((folder / self.summary).read_text())
    files = {path.name: name for name, path in self._sources.items()}
    names = {
        image['id']: files.get(image['file_name'], image['file_name'])
        for image in content['images']
    }
    for image in content['images']:
      self._written[names[image['id']]] = image, []
    for annotation in content['annotations']:
      self._written[names[annotation['image_id']]][1].append(annotation)
    return set(self._written)

  def write(
      self,
      folder: epath.Path,
      name: str,
      size: tuple[int, int],
      segments: Iterable[Segment],
  ) -> None:
    """Keeps the polygons of an image for `finish`.

    Args:
      folder: not used.
      name: of the image.
      size: (height, width) of the image.
      segments: what is predicted.
    """
    del folder
    image = {
        'file_name': self._sources[name].name,
        'height': size[0],
        'width': size[1],
    }
    annotations = [
        self._annotation(segment, polygons, size)
        for segment in segments
        for polygons in entries(segment)
    ]
    self._written[name] = image, annotations

  def _annotation(self, segment, polygons, size):
    corners = np.concatenate([polygon[0] for polygon in polygons]).astype(int)
    (x0, y0), (x1, y1) = corners.min(0).tolist(), corners.max(0).tolist()
    mask = _fill(polygons, (y0, x0, y1, x1))
    if any(len(polygon) > 1 for polygon in polygons):
      whole = np.zeros(size, bool)
      whole[y0:y1, x0:x1] = mask
      segmentation = coco_masks.encode(whole)
    else:
      segmentation = [np.ravel(outline[:-1]).tolist() for outline, in polygons]
    annotation = {
        'category_id': _category(self._raw_ids, segment.category),
        'segmentation': segmentation,
        'area': int(mask.sum()),
        'bbox': [x0, y0, x1 - x0, y1 - y0],
        'iscrowd': 0,
    }
    if segment.score is not None:
      annotation['score'] = segment.score
    return annotation

  def finish(self, folder: epath.Path) -> None:
    """Writes polygons.json.

    Args:
      folder: to write to.
    """
    if not self._written:
      return
    pictures, annotations = [], []
    for number, (name, (image, found)) in enumerate(self._written.items(), 1):
      raw = self._raw_ids and self._raw_ids.image_id(name)
      key = raw if isinstance(raw, int) else number
      pictures.append(image | {'id': key})
      annotations += [entry | {'image_id': key} for entry in found]
    content = {
        'images': pictures,
        'annotations': [
            entry | {'id': number}
            for number, entry in enumerate(annotations, 1)
        ],
        'categories': [
            {'id': about['category_id'], 'name': about['category']}
            for about in (
                _about(self._label_map, self._raw_ids, i)
                for i in range(self._label_map.num_classes)
            )
        ],
    }
    with atomic.replacing(folder / self.summary) as file:
      file.write(json.dumps(content).encode())


def writer(
    name: str,
    label_map: LabelMap,
    sources: Mapping[str, epath.Path],
    raw_ids: RawIds | None = None,
) -> GeoJson | Coco:
  """Returns what writes polygons in a format, one of `FORMATS`.

  Args:
    name: of the format.
    label_map: names of the classes.
    sources: {name of an image: its path}.
    raw_ids: what classes are called; None for train ids.

  Raises:
    ValueError: there is no such format, or rasterio is not installed.
  """
  if name not in FORMATS:
    raise ValueError(
        f'Polygons are written as {" or ".join(FORMATS)}, not as {name!r}.'
    )
  known = {'coco': Coco, 'geojson': GeoJson}
  return known[name](label_map, sources, raw_ids)


def _fill(polygons, box):
  """Returns the mask of polygons in a box y0 x0 y1 x1 around them."""
  package = rasters.rasterio()
  y0, x0, y1, x1 = box
  return package.features.rasterize(
      [{'type': 'MultiPolygon', 'coordinates': polygons}],
      out_shape=(y1 - y0, x1 - x0),
      transform=package.Affine.translation(x0, y0),
  ).astype(bool)


def _category(raw_ids, train_id):
  """Returns what files call a class."""
  return raw_ids.ids[train_id] if raw_ids else train_id


def _about(label_map, raw_ids, train_id):
  """Returns what is told of a class."""
  return {
      'category_id': _category(raw_ids, train_id),
      'category': label_map.names[train_id],
  }
