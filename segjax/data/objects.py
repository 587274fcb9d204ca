"""Maps of objects in files: a number for each object, 0 for what is none."""

from etils import epath
import numpy as np

from segjax.data import image
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE


def read(path: epath.PathLike) -> np.ndarray:
  """Reads which object each pixel is of, [H, W] int32, 0 for none.

  Numbers become 1, 2, ... in their order.

  Args:
    path: a grey file of 8 or 16 bits.
  """
  raw = image.read_mask(path)
  if raw.ndim == 3:
    raise BadExample(
        f'{path}: a coloured file, expected the number of its object at each'
        ' pixel: write it as grey PNG of 8 or 16 bits'
    )
  if raw.min() < 0:
    raise BadExample(f'{path}: the number {raw.min()} is below 0')
  numbers, place = np.unique(raw, return_inverse=True)
  ids = place.reshape(raw.shape) + (numbers[0] > 0)
  return ids.astype(np.int32)


def classify(
    ids: np.ndarray, label: np.ndarray, things: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Gives each object the class of most of its pixels.

  Objects whose class is no thing are left out, and pixels of things that are of
  no object become `IGNORE`: nobody knows which object they are of.

  Args:
    ids: [H, W], from `read`.
    label: [H, W], train ids.
    things: train ids of the classes that are counted objects.

  Returns:
    The ids [H, W], numbered anew, the class of each object [n] uint8, and the
    label.
  """
  count = ids.max(initial=0)
  votes = np.bincount(256 * ids.ravel() + label.ravel(), minlength=256)
  votes = np.pad(votes, (0, 256 * (1 + count) - len(votes)))
  votes = votes.reshape(1 + count, 256)[1:, :IGNORE]
  classes = votes.argmax(1)
  kept = np.isin(classes, things) & votes.any(1)
  number = np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(np.int32)
  ids, classes = number[ids], classes[kept].astype(np.uint8)
  of_object = np.append(0, classes)[ids].astype(np.uint8)
  label = np.where(np.isin(label, things), IGNORE, label)
  return ids, classes, np.where(ids > 0, of_object, label).astype(np.uint8)


def table(classes: np.ndarray, rows: int, name: object) -> np.ndarray:
  """Returns the classes of objects in a table with more rows, [rows] uint8.

  Args:
    classes: [n].
    rows: of the table; `IGNORE` fills those that are not used.
    name: what to call the map in an error.

  Raises:
    BadExample: there are more objects than rows.
  """
  if len(classes) > rows:
    raise BadExample(
        f'{name} has {len(classes)} objects, and there is room for {rows}:'
        f' --config.dataset.options.objects={len(classes)} makes more'
    )
  filled = np.full(rows, IGNORE, np.uint8)
  filled[: len(classes)] = classes
  return filled
