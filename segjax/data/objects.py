"""Maps of objects in files: a number for each object, 0 for what is none."""

from collections.abc import Mapping
import json

from etils import epath
import numpy as np

from segjax.data import image
from segjax.data import texts
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap


def read_numbers(path: epath.PathLike) -> np.ndarray:
  """Reads the number of its object at each pixel, [H, W] int32, 0 for none.

  Args:
    path: a grey or indexed file, or RGB, where a colour is the number R + 256 G
      + 65536 B, as in COCO's panoptic files.
  """
  raw = image.read_mask(path, keep_rgb=True)
  if raw.ndim == 3:
    raw = raw.astype(np.int32)
    raw = raw[..., 0] + 256 * raw[..., 1] + 65536 * raw[..., 2]
  if raw.min() < 0:
    raise BadExample(f'{path}: the number {raw.min()} is below 0')
  if raw.max() >= 2**31:
    raise BadExample(f'{path}: the number {raw.max()} has more than 31 bits')
  return raw.astype(np.int32)


def dense(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Numbers objects 1, 2, ... in the order of their numbers.

  Args:
    numbers: [H, W], 0 for no object.

  Returns:
    The ids [H, W] int32, and [N] which number each had.
  """
  known, place = np.unique(numbers, return_inverse=True)
  ids = place.reshape(numbers.shape) + (known[0] > 0)
  return ids.astype(np.int32), known[known > 0]


def read_table(
    path: epath.PathLike, label_map: LabelMap
) -> dict[int, tuple[int, bool]]:
  """Reads the class of each object of an image from its JSON file.

    {"1": "car", "2": {"class": "car", "crowd": true}, "7": 3}

  A class is told by its name or by a raw id of the label map. A crowd is a
  group of objects that nobody told apart.

  Args:
    path: path of the JSON file.
    label_map: the classes.

  Returns:
    {number: (train id or `IGNORE`, whether it is a crowd)}.

  Raises:
    BadExample: it is no such file, or names a class that is not known.
  """
  try:
    content = texts.parse_json(epath.Path(path).read_bytes())
  except (OSError, ValueError) as error:
    raise BadExample(f'{path}: cannot be read as JSON, {error}') from error
  if not isinstance(content, dict):
    raise BadExample(
        f'{path}: expected an object such as {{"1": "car"}}, number of an'
        ' object and its class'
    )
  by_name = {name: i for i, name in enumerate(label_map.names)}
  table = {}
  for number, entry in content.items():
    given = entry if isinstance(entry, dict) else {'class': entry}
    name, crowd = given.get('class'), given.get('crowd', False)
    known = by_name if isinstance(name, str) else label_map.ids
    if (
        not number.isdecimal()
        or type(name) not in (str, int)
        or type(crowd) is not bool
        or given.keys() - {'class', 'crowd'}
    ):
      raise BadExample(
          f'{path}: {json.dumps({number: entry})} is no number of an object'
          ' and its class, as in {"1": "car", "2": {"class": "car", "crowd":'
          ' true}}'
      )
    if name not in known:
      raise BadExample(
          f'{path}: the class {name!r} of object {number} is not in'
          f' dataset.json; its classes are {", ".join(label_map.names[:20])}'
      )
    table[int(number)] = known[name], crowd
  return table


def vote(ids: np.ndarray, label: np.ndarray) -> np.ndarray:
  """Returns the class of most pixels of each object, [N] uint8.

  `IGNORE` is that of an object whose pixels are all ignored.

  Args:
    ids: [H, W], 0 for no object.
    label: [H, W], train ids.
  """
  count = ids.max(initial=0)
  votes = np.bincount(256 * ids.ravel() + label.ravel(), minlength=256)
  votes = np.pad(votes, (0, 256 * (1 + count) - len(votes)))
  votes = votes.reshape(1 + count, 256)[1:, :IGNORE]
  return np.where(votes.any(1), votes.argmax(1), IGNORE).astype(np.uint8)


def look_up(
    numbers: np.ndarray, table: Mapping[int, tuple[int, bool]], name: object
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the classes [N] and crowds [N] of objects from their table.

  Args:
    numbers: [N], of the objects.
    table: from `read_table`.
    name: what to call the map in an error.

  Raises:
    BadExample: the table lacks an object of the map.
  """
  lacking = [n for n in numbers.tolist() if n not in table]
  if lacking:
    raise BadExample(
        f'{name}: {len(lacking)} of its objects have no class in the JSON file'
        f' beside it, the first are {lacking[:10]}'
    )
  entries = [table[n] for n in numbers.tolist()]
  return (
      np.array([kind for kind, _ in entries], np.uint8),
      np.array([crowd for _, crowd in entries], np.uint8),
  )


def settle(
    ids: np.ndarray,
    classes: np.ndarray,
    crowds: np.ndarray,
    label: np.ndarray,
    things: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Makes the label of objects and stuff one.

  Objects whose class is no thing are left out, and pixels of things that are of
  no object become `IGNORE`: nobody knows which object they are of.

  Args:
    ids: [H, W], 0 for no object.
    classes: [N], train id of each object, or `IGNORE`.
    crowds: [N], 1 for groups of objects.
    label: [H, W], train ids.
    things: train ids of the classes that are counted objects.

  Returns:
    The ids [H, W], numbered anew, the classes [n] uint8 and crowds [n] uint8 of
    these objects, and the label.
  """
  kept = np.isin(classes, things)
  number = np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(np.int32)
  ids, classes = number[ids], classes[kept].astype(np.uint8)
  of_object = np.append(0, classes)[ids].astype(np.uint8)
  label = np.where(np.isin(label, things), IGNORE, label)
  label = np.where(ids > 0, of_object, label).astype(np.uint8)
  return ids, classes, crowds[kept].astype(np.uint8), label


def table(values: np.ndarray, rows: int, name: object, fill: int) -> np.ndarray:
  """Returns a value of each object in a table with more rows, [rows] uint8.

  Args:
    values: [n].
    rows: of the table.
    name: what to call the map in an error.
    fill: value of the rows that are not used.

  Raises:
    BadExample: there are more objects than rows.
  """
  if len(values) > rows:
    raise BadExample(
        f'{name} has {len(values)} objects, and there is room for {rows}:'
        f' --config.dataset.options.objects={len(values)} makes more'
    )
  filled = np.full(rows, fill, np.uint8)
  filled[: len(values)] = values
  return filled
