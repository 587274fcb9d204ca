"""Annotation files of other programs, read as regions of pictures.

Each file of this folder is a format, chosen by its name. It defines
`read(source, images, notes, **options)`, which returns a `Source`; there is no
other list of formats. What is read becomes a data set: `classes` decides which
classes it has, `painting` makes masks and maps of objects of the regions, and
`writing` writes the files. `outlines` has the shapes that formats share.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import importlib
import inspect
import json
import pathlib
import pkgutil
from typing import Any

import numpy as np

from segjax.data import image
from segjax.data import listing

IGNORED = '__ignore__'  # Name of the class whose pixels are ignored.
BACKGROUND = 'background'
SPLITS = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validation': 'val',
    'test': 'test',
}
# Files of this folder that are no format.
SHARED = ('classes', 'outlines', 'painting', 'writing')
PLACES = 3  # That a note names.


class Notes:
  """Counts what is left out or changed, with the first places of each kind."""

  def __init__(self):
    self._counts = {}

  def add(self, what: str, where: object = '', number: int = 1) -> None:
    """Counts something, such as 'boxes without an outline'."""
    self._add(what, [str(where)] if where else [], number)

  def merge(self, other: 'Notes') -> None:
    """Adds what another has counted."""
    for what, (count, places) in other._counts.items():
      self._add(what, places, count)

  def _add(self, what, places, number):
    if number:
      count, known = self._counts.get(what, (0, []))
      new = [place for place in places if place not in known]
      self._counts[what] = count + number, [*known, *new][:PLACES]

  def count(self, what: str) -> int:
    """Returns how often something was counted."""
    return self._counts.get(what, (0, []))[0]

  def lines(self) -> list[str]:
    """Returns a line for each kind, the most frequent first."""
    ordered = sorted(self._counts.items(), key=lambda item: -item[1][0])
    return [
        f'{count} {what}' + (f': {", ".join(places)}' if places else '')
        for what, (count, places) in ordered
    ]


@dataclasses.dataclass(frozen=True)
class Category:
  """A class of a source."""

  name: str
  color: tuple[int, int, int] | None = None
  thing: bool = True


@dataclasses.dataclass(frozen=True)
class Region:
  """Pixels of one class, as an outline, runs or a bitmap.

  Attributes:
    category: name of the class.
    parts: polygons, each an outline and its holes; [N, 2] of (x, y).
    runs: of the whole image, see `coco_masks.decode`.
    bitmap: row and column of the first pixel, and booleans [h, w].
    crowd: whether it is a group of objects that nobody told apart.
    layer: regions of a higher layer lie on top; of one layer the smaller ones.
    group: regions of one class and group, if not None, are one object.
  """

  category: str
  parts: tuple[tuple[np.ndarray, ...], ...] = ()
  runs: dict | None = None
  bitmap: tuple[int, int, np.ndarray] | None = None
  crowd: bool = False
  layer: int = 0
  group: object = None


@dataclasses.dataclass(frozen=True)
class Picture:
  """An image and how to read its regions.

  Attributes:
    name: path in the split, without the suffix.
    image: path of the file.
    regions: takes height and width and `Notes`, and returns the `Region`s.
    size: height and width that the annotation tells, or None.
    content: of the file, where the annotation holds the image itself.
  """

  name: str
  image: pathlib.Path
  regions: Callable[[tuple[int, int], Notes], list[Region]]
  size: tuple[int, int] | None = None
  content: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Source:
  """What an annotation format tells.

  Attributes:
    categories: the classes, in order.
    splits: the pictures by split.
    complete: whether pixels of no region are ignored, because each pixel that
      counts has a class; otherwise they are background.
  """

  categories: list[Category]
  splits: dict[str, list[Picture]]
  complete: bool = False


def read(
    name: str,
    source: pathlib.Path,
    images: pathlib.Path | None,
    notes: Notes,
    **options: Any,
) -> Source:
  """Reads annotations.

  Args:
    name: of the format, a file of this folder.
    source: folder or file of the annotations.
    images: folder of the images; None looks where the format puts them.
    notes: where what is left out is counted.
    **options: those of the format.

  Raises:
    ValueError: there is no such option, or the source is not in the format.
    FileNotFoundError: there is no such source.
  """
  module = importlib.import_module(f'{__name__}.{name}')
  known = list(inspect.signature(module.read).parameters)[3:]
  for option in options:
    if option not in known:
      raise ValueError(
          f'annotations of {name} have no option {option};'
          f' they have {", ".join(known) or "none"}'
      )
  if not source.exists():
    raise FileNotFoundError(f'there is no {source}')
  return module.read(source, images, notes, **options)


def names() -> list[str]:
  """Returns the names of all formats."""
  files = [module.name for module in pkgutil.iter_modules(__path__)]
  return sorted(set(files) - set(SHARED))


def read_json(path: pathlib.Path) -> Any:
  """Returns the content of a JSON file; a ValueError names one that is none."""
  try:
    return json.loads(path.read_bytes())
  except ValueError as error:
    raise ValueError(f'{path}: not JSON, {error}') from error


def json_files(
    folder: pathlib.Path,
    ends: Sequence[str],
    load: Callable[[pathlib.Path], Any],
    kind: str,
    notes: Notes,
) -> Iterator[tuple[pathlib.Path, Any]]:
  """Yields path and content of the JSON files of a format; notes the others.

  Args:
    folder: where they are, or in folders in there.
    ends: of their names.
    load: returns the content of a file, or None if it is in another format, and
      raises ValueError if it is damaged.
    kind: what files of the format are, in notes.
    notes: where what is left out is counted.
  """
  for _, path in listing.find(folder, ends).files:
    path = pathlib.Path(path)
    try:
      content = load(path)
    except ValueError:
      notes.add('JSON files that are damaged, left out', path)
      continue
    if content is None:
      notes.add(f'JSON files that are not {kind}, left out', path)
      continue
    yield path, content


def picture_name(file_name: str) -> str:
  """Returns the name of an example for the path of its image in a file.

  Folders stay; what would lead out of a folder, such as '..', goes.
  """
  parts = pathlib.PurePosixPath(file_name.replace('\\', '/')).parts
  parts = [
      part for part in parts if part not in ('/', '..') and ':' not in part
  ]
  return str(pathlib.PurePosixPath(*parts).with_suffix(''))


def split_of(path: pathlib.Path, top: pathlib.Path) -> tuple[str, pathlib.Path]:
  """Returns the split of a file, and the folder that its name begins in.

  Args:
    path: of the file.
    top: folder of all; a folder in there whose name is that of a split, such
      as 'valid', is one. All other files are of 'train'.
  """
  first = path.relative_to(top).parts[0]
  if len(path.relative_to(top).parts) > 1 and first.lower() in SPLITS:
    return SPLITS[first.lower()], top / first
  return 'train', top


class Images:
  """The images of a folder, found by path or, if there is but one, by name."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self._by_path, self._by_name = {}, {}
    for name, path in listing.find(folder, image.SUFFIXES).files:
      self._by_path[name] = pathlib.Path(path)
      last = name.rpartition('/')[2]
      self._by_name.setdefault(last, []).append((name, pathlib.Path(path)))

  def __iter__(self):
    return iter(self._by_path.items())

  def find(self, file_name: str) -> pathlib.Path | None:
    """Returns the path of an image, None if it is missing or not clear."""
    direct = self.folder / file_name.replace('\\', '/').lstrip('/')
    if '..' not in direct.parts and direct.is_file():
      return direct
    name = picture_name(file_name)
    if name in self._by_path:
      return self._by_path[name]
    same = self._by_name.get(name.rpartition('/')[2], ())
    below = [path for known, path in same if known.endswith(f'/{name}')]
    found = below or [path for _, path in same]
    return found[0] if len(found) == 1 else None
