"""Measures the objects of examples: sizes, pieces, and which touch."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses

import numpy as np
from scipy import ndimage

from segjax.data import fields

WHOLE = np.ones((3, 3), int)  # Pixels that meet at a corner are one piece.


@dataclasses.dataclass(frozen=True)
class Object:
  """What is known of an object.

  Attributes:
    image: name of its example.
    number: of the object in there, from 1 on.
    kind: train id.
    crowd: whether it is a group of objects.
    pixels: number of its pixels.
    pieces: number of its parts that do not touch.
    touches: whether it touches another object of its class.
  """

  image: str
  number: int
  kind: int
  crowd: bool
  pixels: int
  pieces: int
  touches: bool


def map_of(example: Mapping[str, np.ndarray]) -> np.ndarray | None:
  """Returns the map of objects of an example [H, W], None if it has none."""
  names = [name for name in example if fields.kind(name) is fields.IDS]
  return example[names[0]] if names else None


def measure(example: Mapping[str, np.ndarray]) -> list[Object]:
  """Returns the objects of an example; those without a pixel are left out."""
  ids = map_of(example)
  if ids is None:
    return []
  classes, crowds = example['instance_classes'], example['instance_crowds']
  touching = _touching(ids, np.append(0, classes))
  found = []
  for i, window in enumerate(ndimage.find_objects(ids)):
    if window is None:
      continue
    mask = ids[window] == i + 1
    found.append(
        Object(
            image=example['name'],
            number=i + 1,
            kind=int(classes[i]),
            crowd=bool(crowds[i]),
            pixels=int(mask.sum()),
            pieces=ndimage.label(mask, WHOLE)[1],
            touches=i + 1 in touching,
        )
    )
  return found


def _touching(ids, classes):
  """Returns the numbers of objects that touch another one of their class."""
  found = set()
  for first, second in ((ids[1:], ids[:-1]), (ids[:, 1:], ids[:, :-1])):
    meet = (first != second) & (first > 0) & (second > 0)
    meet &= classes[first] == classes[second]
    found |= set(first[meet].tolist()) | set(second[meet].tolist())
  return found


def astray(
    ids: np.ndarray, classes: np.ndarray, label: np.ndarray, ignored: int
) -> np.ndarray:
  """Returns the share of each object that the label gives another class, [N].

  Args:
    ids: [H, W], 0 for no object.
    classes: [N].
    label: [H, W], before objects have changed it.
    ignored: value of pixels that do not count.
  """
  of_object = np.append(0, classes)[ids]
  counted = (ids > 0) & (label != ignored)
  size = np.bincount(ids[counted], minlength=1 + len(classes))[1:]
  wrong = counted & (label != of_object)
  other = np.bincount(ids[wrong], minlength=1 + len(classes))[1:]
  return other / np.maximum(size, 1)


def table(objects: Iterable[Object], names: tuple[str, ...]) -> str:
  """Tabulates objects by class: numbers, sizes in pixels, pieces, contacts.

  Args:
    objects: of all images.
    names: of the classes.
  """
  by_class = {}
  for one in objects:
    by_class.setdefault(one.kind, []).append(one)
  width = max((len(names[kind]) for kind in by_class), default=0)
  head = ('objects', 'groups', 'smallest', 'median', 'largest')
  line = ' ' * (width + 5) + ''.join(f'{title:>10}' for title in head)
  lines = [f'{line} pixels  in pieces  touching']
  for kind in sorted(by_class):
    single = [one for one in by_class[kind] if not one.crowd]
    sizes = [one.pixels for one in single] or [0]
    row = (
        len(single),
        len(by_class[kind]) - len(single),
        min(sizes),
        f'{np.median(sizes):g}',
        max(sizes),
    )
    line = f'{kind:4} {names[kind]:{width}}'
    line += ''.join(f'{value:>10}' for value in row)
    line += f'{sum(one.pieces > 1 for one in single):>18}'
    lines.append(line + f'{sum(one.touches for one in single):>10}')
  return '\n'.join(lines)
