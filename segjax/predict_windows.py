"""Predicts images by windows, however large they are, as GeoTIFF files.

An image is read, predicted and written in blocks of up to `BLOCK` pixels a
side, so the memory depends on the block and not on the image. The windows of a
block are those of a sliding window over the whole image, and a block keeps the
pixels that it has all windows of: the result equals that of the whole image.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
from typing import Any

from etils import epath
import numpy as np

from segjax.artifacts import pictures
from segjax.artifacts import polygons as polygon_files
from segjax.data import image as images
from segjax.data import rasters
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.inference import blocks
from segjax.inference.views import Inference
from segjax.predictor import Predictor
from segjax.runtime import progress

BLOCK = 4096
SHOWN = 2048  # Pixels of the longer side of an overlay.


def _check(predictor: Any) -> None:
  """Raises ValueError if a predictor cannot see an image in windows."""
  rasters.rasterio()
  if not isinstance(predictor, Predictor):
    raise ValueError(
        f'--windows is for one run, not for {type(predictor).__name__}: give'
        ' one --workdir.'
    )
  if not predictor.task.PER_PIXEL or predictor.system.reads != ('image',):
    raise ValueError(
        '--windows is for systems that predict the class of each pixel from'
        ' the image alone: objects cannot be averaged where windows overlap.'
    )
  if predictor.samples:
    raise ValueError(
        f'{predictor.system.name} samples, and --windows has no place for the'
        ' variance: leave --windows out.'
    )
  options, defaults = predictor.options, Inference()
  for name in ('scales', 'short_sides', 'refine'):
    if getattr(options, name) != getattr(defaults, name):
      raise ValueError(
          f'{name}={getattr(options, name)!r} needs the whole image, and'
          f' --windows never has it: set it to {getattr(defaults, name)!r} in'
          ' --options.'
      )
  if options.mode != 'slide':
    raise ValueError(
        f"mode={options.mode!r} predicts whole images: load the run with"
        " mode='slide' to predict by windows."
    )


class Writer:
  """Predicts images by windows and writes their files; see the module.

  Attributes:
    about: what the files depend on beside the images.
    summaries: files of all images together: none.
  """

  summaries = ()

  def __init__(
      self,
      predictor: Predictor,
      sources: Mapping[str, epath.Path],
      *,
      probabilities: bool = False,
      polygons: str = '',
  ):
    """Keeps what is to be written.

    Args:
      predictor: what predicts.
      sources: paths of the images by name.
      probabilities: whether to write these, too.
      polygons: format of polygons to write, too, or ''.

    Raises:
      ValueError: the predictor cannot see an image in windows.
    """
    _check(predictor)
    self._predictor, self._sources = predictor, sources
    self._probabilities = probabilities
    self.about = predictor.describe() | {'windows': True}
    label_map = predictor.label_map
    # A band for each class where a pixel may have several.
    self._bands = label_map.num_classes if label_map.overlapping else 1
    self._outlines = None
    if polygons:
      self.about['polygons'] = polygons
      self._outlines = polygon_files.writer(polygons, label_map, sources)

  def files(self, name: str) -> list[str]:
    """Returns the names of the files that are written of an image."""
    names = [f'{name}.tif', f'{name}_overlay.png']
    if self._probabilities:
      names.append(f'{name}_probabilities.tif')
    return [*names, *(self._outlines.files(name) if self._outlines else ())]

  def begin(self, folder: epath.Path) -> None:
    """Does nothing: there are no files but those of the images."""

  def finish(self, folder: epath.Path) -> None:
    """Does nothing, see `begin`."""

  def write(
      self,
      folder: epath.Path,
      names: list[str],
      fail: Callable[[dict, Exception], None],
  ) -> Iterator[None]:
    """Predicts images and writes their files; yields once for each.

    Args:
      folder: to write to.
      names: of the images.
      fail: called with {'name': ...} and the reason where an image cannot be
        predicted; it does not end the others.

    Raises:
      OSError: the folder cannot be written to.
    """
    for name in names:
      try:
        self._write_one(folder, name, self._sources[name])
      except OSError:  # Of the folder, not of the image.
        raise
      except Exception as error:
        fail({'name': name}, error)
      yield

  def _write_one(self, folder, name, path):
    """Predicts an image and writes its files.

    NAME.tif has the class ids, with the colours of the classes, or, where
    classes overlap, a band for each, 0 and 1; 255 is no data, where the image
    has none. NAME_overlay.png shows them over the image, both reduced.

    Args:
      folder: to write to.
      name: of the image.
      path: of the image.

    Raises:
      BadExample: the image cannot be read, or is unlike those of training.
    """
    with contextlib.ExitStack() as stack:
      image = rasters.Raster(stack.enter_context(rasters.opened(path)), path)
      small, small_valid = image.reduced(SHOWN)
      if small_valid.any():
        self._predictor.check_values(small, path)
      target = folder / f'{name}.tif'
      with contextlib.ExitStack() as files:
        labels = files.enter_context(
            rasters.replacing(target, image, count=self._bands, nodata=IGNORE)
        )
        self._name_classes(labels)
        shares = self._probabilities and files.enter_context(
            rasters.replacing(
                folder / f'{name}_probabilities.tif',
                image,
                count=self._predictor.label_map.num_classes,
                dtype='float32',
                nodata=np.nan,
            )
        )
        for window, prediction, valid in self._parts(image, name):
          _put(labels, window, prediction['labels'], valid)
          if shares:
            _put(shares, window, prediction['probabilities'], valid)
      with rasters.opened(target) as labels:
        shown, _ = rasters.Raster(labels, target, True).reduced(SHOWN)
        overlay = self._overlay(small, shown, small_valid)
        images.write_png(folder / f'{name}_overlay.png', overlay)
        if self._outlines:
          self._write_polygons(folder / f'{name}.geojson', labels)

  def _parts(self, image: rasters.Raster, name: str) -> Iterator[tuple]:
    """Yields (window, prediction, valid) of the blocks of an image.

    A block without any data is left out.
    """
    options = self._predictor.options
    rows, columns = (
        blocks.divide(length, window, stride, BLOCK, options.halo)
        for length, window, stride in zip(
            image.size, options.window, options.stride, strict=True
        )
    )
    places = [(y, x) for y in rows for x in columns]

    def examples():
      for y, x in progress.track(places, len(places), f'Predicting {name}'):
        pixels, valid = image.read(
            slice(y.start, y.stop), slice(x.start, x.stop)
        )
        if valid.any():
          # The range of values was checked for the whole image.
          yield {
              'image': pixels,
              'name': name,
              'part_of_image': True,
              'valid': valid,
              'place': (y, x),
          }

    for example, prediction in self._predictor.stream(
        examples(), self._probabilities
    ):
      if example['image'].shape[:2] != example['size']:
        raise BadExample(
            f'{name}: config.preprocess.eval resizes or pads images, which'
            ' --windows cannot do to a part of one'
        )
      y, x = example['place']
      inside = tuple(slice(p.low - p.start, p.high - p.start) for p in (y, x))
      window = ((y.low, y.high), (x.low, x.high))
      kept = {key: array[inside] for key, array in prediction.items()}
      yield window, kept, example['valid'][inside]

  def _name_classes(self, dataset):
    """Writes names and colours of the classes into a raster of labels."""
    label_map = self._predictor.label_map
    if self._bands > 1:
      dataset.descriptions = label_map.names
      return
    colors = dict(enumerate(label_map.colors))
    dataset.write_colormap(1, colors)
    names = {f'class_{i}': name for i, name in enumerate(label_map.names)}
    dataset.update_tags(1, **names)

  def _overlay(self, image, labels, valid):
    """Returns a reduced image with its labels, [H, W, 3]."""
    labels = np.where(valid[..., None], labels, IGNORE)
    label_map = self._predictor.label_map
    if self._bands > 1:
      return pictures.mixed_overlay(image, labels, label_map)
    return pictures.overlay(image, labels[..., 0], label_map)

  def _write_polygons(self, path, labels):
    """Writes the polygons of a raster of labels, which GDAL reads by rows."""
    package = rasters.rasterio()

    def features():
      for band in range(1, self._bands + 1):
        for shape, value in package.features.shapes(
            package.band(labels, band),
            connectivity=4,
            transform=labels.transform,
        ):
          if value == IGNORE or (self._bands > 1 and not value):
            continue
          category = band - 1 if self._bands > 1 else int(value)
          yield self._outlines.feature(category, [shape['coordinates']])

    self._outlines.save(path, features(), labels.crs)


def _put(dataset, window, values, valid):
  """Writes [h, w] or [h, w, C] to a window of a raster."""
  values = values.reshape(*valid.shape, -1)
  if not valid.all():
    nodata = values.dtype.type(dataset.nodata)
    values = np.where(valid[..., None], values, nodata)
  dataset.write(np.moveaxis(values, -1, 0), window=window)
