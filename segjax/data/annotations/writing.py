"""Writes pictures of annotations as a split of the data set 'folder'."""

from concurrent import futures
import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np

from segjax.data import annotations
from segjax.data import image
from segjax.data.annotations import painting
from segjax.data.annotations.classes import Classes
from segjax.data.datasets import folder as folder_set
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.runtime import progress


@dataclasses.dataclass
class Written:
  """What has been written of a picture, or of several.

  Attributes:
    pixels: number of each class, and of `IGNORE` behind them.
    objects: number of each class.
    area: number of all pixels.
    pictures: number of pictures.
    notes: what was left out or changed.
  """

  pixels: np.ndarray
  objects: np.ndarray
  area: int
  pictures: int
  notes: annotations.Notes


def write_split(
    pictures: list[annotations.Picture],
    folder: pathlib.Path,
    classes: Classes,
    *,
    link: bool = False,
) -> Written:
  """Writes the pictures of a split, whole or not at all.

  Args:
    pictures: from `annotations.read`.
    folder: of the split; there is none yet.
    classes: of the data set.
    link: whether images become links to the originals.

  Raises:
    ValueError: two pictures have one name, or none can be used.
  """
  names = {}
  for picture in pictures:
    if picture.name in names:
      raise ValueError(
          f'two images are called {picture.name}: {names[picture.name]} and'
          f' {picture.image}; rename one, in its labels, too'
      )
    names[picture.name] = picture.image
  partial = folder.parent / f'.{folder.name}.{os.getpid()}'
  partial.mkdir(parents=True)
  total = None
  pool = futures.ThreadPoolExecutor(os.cpu_count())
  try:
    written = pool.map(
        lambda picture: write_picture(picture, partial, classes, link=link),
        pictures,
    )
    title = f'Writing {folder.name}'
    for one in progress.track(written, len(pictures), title):
      if total is None:
        total = one
        continue
      total.pixels += one.pixels
      total.objects += one.objects
      total.area += one.area
      total.pictures += one.pictures
      total.notes.merge(one.notes)
    if total is None or not total.pictures:
      lines = total.notes.lines() if total else ()
      raise ValueError(
          f'no picture of {folder.name} can be used: {"; ".join(lines)}'
      )
    partial.rename(folder)
  except BaseException:
    pool.shutdown(cancel_futures=True)
    shutil.rmtree(partial, ignore_errors=True)
    raise
  pool.shutdown()
  return total


def write_picture(
    picture: annotations.Picture,
    folder: pathlib.Path,
    classes: Classes,
    *,
    link: bool = False,
) -> Written:
  """Writes image, mask and objects of a picture.

  Args:
    picture: from `annotations.read`.
    folder: of the split.
    classes: of the data set.
    link: whether the image becomes a link to the original.

  Returns:
    What has been written; no picture if it cannot be used.
  """
  notes = annotations.Notes()
  labels = classes.labels
  nothing = Written(
      np.zeros(labels.num_classes + 1, np.int64),
      np.zeros(labels.num_classes, np.int64),
      0,
      0,
      notes,
  )
  try:
    pixels, turned = _read_image(picture)
    size = pixels.shape[:2]
    if picture.size is not None and tuple(picture.size) != size:
      raise BadExample(
          f'{picture.image} is {size}, and its labels are for {picture.size}'
      )
    regions = picture.regions(size, notes)
  except (ValueError, KeyError, OSError) as error:
    notes.add('images that cannot be used, left out', error)
    return nothing
  if turned:
    notes.add('images that EXIF turned, written upright', picture.name)
  if not regions:
    notes.add('images without a region', picture.name)
  masks = folder / 'masks' / f'{picture.name}.png'
  masks.parent.mkdir(parents=True, exist_ok=True)
  if labels.overlapping:
    label = painting.paint_bits(
        regions, size, classes.train_ids, classes.outside, notes, picture.name
    )
    _write_image(picture, folder, pixels, turned, link)
    if labels.num_classes < 8:
      label = label.astype(np.uint8)
    image.write_png(masks, label)
    counts = [int((label >> bit & 1).sum()) for bit in labels.ids]
    return Written(np.array(counts), nothing.objects, label.size, 1, notes)
  label, ids, table = painting.paint(
      regions,
      size,
      classes.train_ids,
      labels.things,
      classes.outside,
      notes,
      picture.name,
  )
  _write_image(picture, folder, pixels, turned, link)
  image.write_png(masks, label, palette=labels.colors)
  if labels.things:
    _write_objects(
        folder / folder_set.OBJECTS, picture.name, ids, table, labels
    )
  counts = np.bincount(label.ravel(), minlength=256)
  kinds = np.array([kind for kind, _ in table.values()], int)
  return Written(
      np.append(counts[: labels.num_classes], counts[IGNORE]),
      np.bincount(kinds, minlength=labels.num_classes),
      label.size,
      1,
      notes,
  )


def _read_image(picture):
  """Returns an image as labels were drawn on it, and whether it was turned.

  Programs to draw labels show images as EXIF says. Sizes may tell otherwise.
  """
  path = picture.image
  if picture.content is not None:
    return image.read_image(path, data=picture.content), False
  orientation = image.read_orientation(path)
  stored = image.read_image(path)
  if orientation == 1:
    return stored, False
  height, width = stored.shape[:2]
  if orientation >= 5 and picture.size == (height, width) != (width, height):
    return stored, False
  return image.turn(stored, orientation), True


def _write_image(picture, folder, pixels, turned, link):
  """Copies, links or writes the image of a picture."""
  path = folder / 'images' / f'{picture.name}{picture.image.suffix.lower()}'
  path.parent.mkdir(parents=True, exist_ok=True)
  if turned and pixels.dtype != np.float32 and pixels.shape[2] in (1, 3, 4):
    image.write_png(path.with_suffix('.png'), pixels)
  elif turned:
    np.save(path.with_suffix('.npy'), pixels)
  elif picture.content is not None:
    path.write_bytes(picture.content)
  elif link:
    path.symlink_to(picture.image.resolve())
  else:
    shutil.copyfile(picture.image, path)


def _write_objects(folder, name, ids, table, labels):
  """Writes the map of objects of a picture, and their classes."""
  path = folder / f'{name}.png'
  path.parent.mkdir(parents=True, exist_ok=True)
  if len(table) < 256:
    ids = ids.astype(np.uint8)
  elif len(table) < 65536:
    ids = ids.astype(np.uint16)
  else:
    ids = np.stack([ids >> 8 * i & 255 for i in range(3)], -1).astype(np.uint8)
  image.write_png(path, ids)
  content = {
      str(number): {'class': labels.names[kind], 'crowd': True}
      if crowd
      else labels.names[kind]
      for number, (kind, crowd) in table.items()
  }
  path.with_suffix('.json').write_text(json.dumps(content) + '\n')
