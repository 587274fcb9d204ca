"""Decides which classes a data set of annotations has."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

from segjax.data import annotations
from segjax.data import label_map
from segjax.data.label_map import IGNORE

MOST_BITS = 15  # Classes of a mask of 16 bits, of which one is for ignored.


@dataclasses.dataclass(frozen=True)
class Classes:
  """The classes of the data set that is written.

  Attributes:
    labels: their names, colours and things, and whether they overlap.
    train_ids: train id or `IGNORE` of each class of the source that is taken.
      If classes overlap, the bits of each class of the source, as a number.
    outside: the same of pixels of no region.
  """

  labels: label_map.LabelMap
  train_ids: dict[str, int]
  outside: int


def choose(
    source: annotations.Source,
    *,
    classes: tuple[str, ...] = (),
    stuff: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    known: label_map.LabelMap | None = None,
    where: object = '',
) -> Classes:
  """Decides which classes the data set has.

  Args:
    source: of the labels.
    classes: the classes to take, in their order; () takes all, behind the
      background or, where there is none, stuff before things.
    stuff: classes that are not counted objects.
    ignored: classes whose pixels are ignored.
    known: classes that the data set already has.
    where: path of their file, for errors.

  Raises:
    ValueError: a name is unknown, or the classes are not those of the data set.
  """
  given = {category.name: category for category in source.categories}
  background = annotations.BACKGROUND
  for title, names in (('stuff', stuff), ('ignored', ignored)):
    if unknown := [n for n in names if n not in given]:
      raise ValueError(
          f'--{title}: there is no class {unknown[0]!r}; there are'
          f' {", ".join(given) or "none"}'
      )
  ignored = {*ignored, annotations.IGNORED}
  # Systems that detect objects take class 0 for no object, so it is stuff.
  ordered = sorted(given, key=lambda name: given[name].thing)
  order = ordered if source.complete else given
  taken = [name for name in classes or order if name not in ignored]
  drawn = [*given, background] if known is None else [*given, *known.names]
  if unknown := [name for name in taken if name not in drawn]:
    raise ValueError(
        f'--classes: there is no class {unknown[0]!r}; there are'
        f' {", ".join(given) or "none"}'
    )
  if not source.complete and background not in taken:
    taken.insert(0, background)
  if known is not None:
    if lacking := [name for name in taken if name not in known.names]:
      raise ValueError(
          f'{where} has no class {lacking[0]!r} of the labels: import them into'
          ' another folder, or name with --classes which are taken'
      )
    labels = known
  else:
    labels = _labels(taken, given, stuff, where)
  train_ids = {name: labels.names.index(name) for name in taken}
  train_ids |= dict.fromkeys(ignored, IGNORE)
  outside = IGNORE if source.complete else train_ids[background]
  return Classes(labels, train_ids, outside)


def choose_overlapping(
    source: annotations.Source,
    groups: Mapping[str, Sequence[str]],
    *,
    ignored: tuple[str, ...] = (),
    known: label_map.LabelMap | None = None,
    where: object = '',
) -> Classes:
  """Decides which classes a data set has whose classes overlap.

  Args:
    source: of the labels.
    groups: the classes of the source that each class of the data set is of.
    ignored: classes of the source whose pixels are ignored.
    known: classes that the data set already has.
    where: path of their file, for errors.

  Raises:
    ValueError: a name is unknown, there are more classes than bits, or they are
      not those of the data set.
  """
  given = {category.name: category for category in source.categories}
  named = [(title, n) for title, names in groups.items() for n in names]
  named += [('--ignored', name) for name in ignored]
  for title, name in named:
    if name not in given:
      raise ValueError(
          f'{title}: there is no class {name!r}; there are'
          f' {", ".join(given) or "none"}'
      )
  if len(groups) > MOST_BITS:
    raise ValueError(
        f'{len(groups)} classes, and masks of overlapping classes have'
        f' {MOST_BITS} at most'
    )
  ignore = 1 << len(groups)
  bits = {
      name: sum(
          1 << bit for bit, names in enumerate(groups.values()) if name in names
      )
      for name in given
  }
  bits |= dict.fromkeys((*ignored, annotations.IGNORED), ignore)
  defaults = label_map.default_colors(len(groups))
  labels = label_map.LabelMap(
      names=tuple(groups),
      colors=tuple(
          tuple(given[names[0]].color or defaults[bit])
          for bit, names in enumerate(groups.values())
      ),
      ids={bit: bit for bit in range(len(groups))} | {len(groups): IGNORE},
      overlapping=True,
  )
  if known is not None and (known.names, known.ids) != (
      labels.names,
      labels.ids,
  ):
    raise ValueError(
        f'{where} has other classes, {", ".join(known.names)}, than'
        f' --overlapping names, {", ".join(groups)}: import into another folder'
    )
  return Classes(labels, bits, ignore if source.complete else 0)


def _labels(taken, given, stuff, where):
  """Returns the label map of classes."""
  if not taken:
    raise ValueError('the labels have no class that is taken')
  if len(taken) > IGNORE:
    raise ValueError(
        f'{len(taken)} classes, and a data set has {IGNORE} at most: name'
        ' those to take with --classes'
    )
  colors = label_map.default_colors(len(taken))
  never = {*stuff, annotations.BACKGROUND}
  entries = [given.get(name, annotations.Category(name)) for name in taken]
  return label_map.LabelMap(
      names=tuple(taken),
      colors=tuple(
          tuple(entry.color or colors[i]) for i, entry in enumerate(entries)
      ),
      ids={i: i for i in range(len(taken))} | {IGNORE: IGNORE},
      things=tuple(
          i
          for i, entry in enumerate(entries)
          if entry.thing and entry.name not in never
      ),
  )
