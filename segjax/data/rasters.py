"""Georeferenced images: where they lie on the Earth.

They need rasterio, an optional package, which brings GDAL along.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import types
from typing import Any
import warnings

from segjax.data.image import BadExample

SUFFIXES = ('.tif', '.tiff')


def rasterio() -> types.ModuleType:
  """Returns the package rasterio with its modules.

  Raises:
    ValueError: it is not installed.
  """
  try:
    import rasterio.features
    import rasterio.windows
  except ImportError as error:
    raise ValueError(
        f'Rasters and polygons need the package rasterio, and {error}. Install'
        " segjax with its extra: python -m pip install 'segjax[raster]', or in"
        " a copy of its repository: python -m pip install '.[raster]'."
    ) from error
  return rasterio


@dataclasses.dataclass(frozen=True)
class Georeference:
  """Where the pixels of an image lie.

  Attributes:
    transform: from (column, row) to coordinates, an `affine.Affine`.
    crs: the coordinate reference system, or None.
  """

  transform: Any
  crs: Any


def georeference(path: str | os.PathLike) -> Georeference | None:
  """Returns where the pixels of a file lie; None if the file does not tell."""
  if not os.fspath(path).lower().endswith(SUFFIXES):
    return None
  with opened(path) as dataset:
    if dataset.transform.is_identity:
      return None
    return Georeference(dataset.transform, dataset.crs)


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[Any]:
  """Opens a file for reading; yields a `rasterio.DatasetReader`.

  Raises:
    BadExample: GDAL cannot read it.
  """
  package = rasterio()
  with warnings.catch_warnings():
    # An image that lies nowhere is an image as well.
    warnings.simplefilter('ignore', package.errors.NotGeoreferencedWarning)
    try:
      dataset = package.open(os.fspath(path))
    except package.errors.RasterioIOError as error:
      raise BadExample(f'{path}: GDAL cannot read it, {error}') from error
  with dataset:
    yield dataset
