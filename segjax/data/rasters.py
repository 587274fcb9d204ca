"""Georeferenced images: where they lie on the Earth; pixels by windows.

They need rasterio, an optional package, which brings GDAL along.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import types
from typing import Any
import warnings

from etils import epath
import numpy as np

from segjax.data.image import BadExample

SUFFIXES = ('.tif', '.tiff')
CACHE_MB = 256  # Of GDAL, which takes a share of the memory by itself.
STRIP = 512  # Rows that are read at a time to reduce an image.


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
  with warnings.catch_warnings(), package.Env(GDAL_CACHEMAX=CACHE_MB):
    # An image that lies nowhere is an image as well.
    warnings.simplefilter('ignore', package.errors.NotGeoreferencedWarning)
    try:
      dataset = package.open(os.fspath(path))
    except package.errors.RasterioIOError as error:
      raise BadExample(f'{path}: GDAL cannot read it, {error}') from error
    with dataset:
      yield dataset


class Raster:
  """An image file that is read by windows.

  Attributes:
    dataset: the open `rasterio.DatasetReader`.
    path: of the file.
    size: (height, width).
  """

  def __init__(self, dataset: Any, path: epath.PathLike, indexed: bool = False):
    """Checks that the file holds an image.

    Args:
      dataset: of the file, from `opened`.
      path: of the file.
      indexed: whether it may hold indices into a palette, as labels do.

    Raises:
      BadExample: it holds indices into a palette.
    """
    self.dataset, self.path = dataset, path
    self.size = dataset.height, dataset.width
    package = rasterio()
    palette = package.enums.ColorInterp.palette
    if palette in dataset.colorinterp and not indexed:
      raise BadExample(
          f'{path}: a raster of indices into a palette, expected grey, RGB or'
          ' bands; convert it to RGB'
      )

  def read(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pixels of a window, and which of them hold data.

    Args:
      rows: of the window.
      columns: of the window.

    Returns:
      [h, w, C], uint8, uint16 or float32, with 0 where there is no data, and
      [h, w] booleans. Pixels that are not finite hold no data.

    Raises:
      BadExample: the file is damaged.
    """
    window = rasterio().windows.Window.from_slices(
        rows, columns, height=self.size[0], width=self.size[1]
    )
    try:
      bands = self.dataset.read(window=window)
      valid = self.dataset.dataset_mask(window=window) > 0
    except rasterio().errors.RasterioIOError as error:
      raise BadExample(f'{self.path}: damaged, {error}') from error
    pixels = np.moveaxis(bands, 0, -1)
    if pixels.dtype.kind not in 'buif':
      raise BadExample(
          f'{self.path}: an image holds numbers, this {pixels.dtype}'
      )
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
      pixels = pixels.astype(np.float32)
    if pixels.dtype == np.float32:
      valid &= np.isfinite(pixels).all(-1)
    if not valid.all():
      pixels = np.where(valid[..., None], pixels, pixels.dtype.type(0))
    return np.ascontiguousarray(pixels), valid

  def reduced(self, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns every so many pixels of the image, and which hold data.

    GDAL can reduce what it reads, but takes very long if a file has no levels
    of detail. This reads all pixels, a strip of rows at a time.

    Args:
      longest: pixels of the longer side of the result at most.
    """
    step = -(-max(self.size) // longest)
    depth = step * max(1, STRIP // step)
    pixels, valid = [], []
    for y in range(0, self.size[0], depth):
      strip = self.read(slice(y, min(y + depth, self.size[0])), slice(None))
      pixels.append(strip[0][::step, ::step].copy())
      valid.append(strip[1][::step, ::step].copy())
    return np.concatenate(pixels), np.concatenate(valid)


@contextlib.contextmanager
def replacing(
    path: epath.Path,
    like: Raster,
    *,
    count: int = 1,
    dtype: str = 'uint8',
    nodata: float,
) -> Iterator[Any]:
  """Opens a GeoTIFF that takes the place of `path` once it is whole.

  It has the size, the transform and the reference system of another raster, is
  compressed, and is divided into tiles, so that programs read parts of it.

  Args:
    path: of the file.
    like: the other raster.
    count: number of bands.
    dtype: of their values.
    nodata: value of pixels without data.

  Yields:
    A `rasterio.DatasetWriter`.
  """
  package = rasterio()
  temporary = path.parent / f'.{path.name}.tmp'
  place = (
      {}
      if like.dataset.transform.is_identity
      else {'transform': like.dataset.transform}
  )
  try:
    with package.open(
        os.fspath(temporary),
        'w',
        driver='GTiff',
        height=like.size[0],
        width=like.size[1],
        count=count,
        dtype=dtype,
        nodata=nodata,
        crs=like.dataset.crs,
        compress='deflate',
        tiled=True,
        blockxsize=512,
        blockysize=512,
        bigtiff='if_safer',
        interleave='band',
        **place,
    ) as dataset:
      yield dataset
    temporary.replace(path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
