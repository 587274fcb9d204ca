"""Region proposals: masks of possible objects, read from a file for each image.

The regions of an example are [H, W, N] uint8, 0 or 1, best first. N is the same
for all examples of a data set; empty regions fill up missing ones. Boxes become
filled rectangles.
"""

import io

import cv2
from etils import epath
import numpy as np

from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE


def read(path: epath.PathLike, size: tuple[int, int], count: int) -> np.ndarray:
  """Reads the proposals for an image.

  Args:
    path: `.npz` file with `regions`, [H, W, M] of 0 and 1, or `boxes`, [M, 4]
      in pixels y0 x0 y1 x1, ends exclusive; best first.
    size: (height, width) of the image.
    count: number N of regions to return: the first ones of the file, and empty
      ones where it has fewer.

  Returns:
    [H, W, N] uint8.
  """
  try:
    data = io.BytesIO(epath.Path(path).read_bytes())
    with np.load(data, allow_pickle=False) as file:
      content = dict(file)
  except Exception as error:  # NumPy raises errors of any type.
    raise BadExample(f'{path}: damaged or missing, {error}') from error
  match content:
    case {'regions': regions}:
      if regions.ndim != 3 or regions.shape[:2] != size:
        raise BadExample(
            f'{path}: regions of an image of {size[0]}x{size[1]} are'
            f' [{size[0]}, {size[1]}, M], these {list(regions.shape)}'
        )
      if not np.isin(regions, (0, 1)).all():
        raise BadExample(f'{path}: regions are 0 or 1, these have other values')
    case {'boxes': boxes}:
      if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise BadExample(
            f'{path}: boxes are [M, 4], y0 x0 y1 x1, these {list(boxes.shape)}'
        )
      regions = fill(boxes, size)
    case _:
      raise BadExample(
          f"{path}: has {', '.join(content) or 'nothing'}; expected is"
          " 'regions' or 'boxes'"
      )
  return exactly(regions, count)


def fill(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Draws boxes [M, 4], y0 x0 y1 x1 in pixels, as filled regions [H, W, M]."""
  y, x = (np.arange(side)[:, None] + 0.5 for side in size)
  y0, x0, y1, x1 = boxes.T
  rows, columns = (y > y0) & (y < y1), (x > x0) & (x < x1)
  return (rows[:, None] & columns).astype(np.uint8)


def exactly(regions: np.ndarray, count: int) -> np.ndarray:
  """Cuts regions [H, W, M] to `count`, or appends empty ones: [H, W, count]."""
  regions = regions[..., :count].astype(np.uint8)
  missing = count - regions.shape[-1]
  return np.pad(regions, ((0, 0), (0, 0), (0, missing)))


def assign(
    regions: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Assigns to each region the object of the label that it overlaps most.

  An object is a connected component of a class, since labels do not separate
  objects; class 0 is the background. Ignored pixels do not count.

  Args:
    regions: [H, W, N], 0 or 1.
    label: [H, W], train ids.

  Returns:
    categories: class of the object, [N] uint8; 0 if the region overlaps none,
      and `IGNORE` if the region is empty.
    overlaps: intersection over union with the object, [N] float32.
  """
  ids, classes = objects(label)
  counted = label != IGNORE
  areas = np.bincount(ids[counted], minlength=len(classes))
  categories = np.full(regions.shape[-1], IGNORE, np.uint8)
  overlaps = np.zeros(regions.shape[-1], np.float32)
  for n in np.flatnonzero(regions.any((0, 1))):
    inside = ids[(regions[..., n] > 0) & counted]
    intersection = np.bincount(inside, minlength=len(classes))
    union = inside.size + areas - intersection
    overlap = intersection / np.maximum(union, 1)
    overlap[0] = 0
    best = overlap.argmax()
    categories[n], overlaps[n] = classes[best], overlap[best]
  return categories, overlaps


def objects(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Numbers the connected components of all classes but the background.

  Args:
    label: [H, W], train ids.

  Returns:
    ids: number of the object at each pixel, [H, W], 0 for none.
    classes: class of each number, uint8; that of number 0 is 0.
  """
  ids, classes = np.zeros(label.shape, np.int64), [0]
  for train_id in np.setdiff1d(label, (0, IGNORE)):
    _, parts = cv2.connectedComponents((label == train_id).view(np.uint8))
    ids += np.where(parts > 0, parts + len(classes) - 1, 0)
    classes += [train_id] * parts.max()
  return ids, np.array(classes, np.uint8)
