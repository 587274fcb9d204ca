"""Class names, colours, and the one way from a mask's values to train ids."""

from collections.abc import Mapping
import dataclasses
import functools
import importlib.resources
import itertools
import json

import cv2
import numpy as np

from segjax.data.image import BadExample

IGNORE = 255
_UNKNOWN = 256  # Fills the tables between the values that are known.

_KEYS = {'classes', 'ignore', 'ignored_colors', 'overlapping'}
_CLASS_KEYS = {'name', 'color', 'ids', 'thing'}


@dataclasses.dataclass(frozen=True)
class LabelMap:
  """The classes of a data set, and how its masks are read.

  Train ids are 0, 1, ... in the order of `names`; ignored pixels are `IGNORE`.

  Attributes:
    names: train id -> name of the class.
    colors: train id -> RGB.
    ids: raw id -> train id or `IGNORE`; any other raw id is an error.
    color_coded: masks mean their colours, also grey and indexed ones, see
      `image.read_mask`.
    ignored_colors: colours that mean `IGNORE` where masks are colour-coded.
    boundary_class: of a data set whose partition of the image is scored, too,
      the train id between the parts, such as a membrane's.
    things: train ids of the classes that are counted objects; others are stuff.
    overlapping: whether a pixel may be of any number of classes. Raw ids are
      then the places of bits in the values of a mask, and labels are [H, W, K],
      1 where a pixel is of a class, else 0, and `IGNORE` in all classes where a
      bit says so.
  """

  names: tuple[str, ...]
  colors: tuple[tuple[int, int, int], ...]
  ids: Mapping[int, int]
  color_coded: bool = False
  ignored_colors: tuple[tuple[int, int, int], ...] = ()
  boundary_class: int | None = None
  things: tuple[int, ...] = ()
  overlapping: bool = False

  def __post_init__(self):
    if not 1 <= len(self.names) <= IGNORE:
      raise ValueError(
          f'a label map has 1 to {IGNORE} classes, this has {len(self.names)}'
      )
    if len(self.colors) != len(self.names):
      raise ValueError(
          f'{len(self.names)} names but {len(self.colors)} colours'
      )
    wrong = set(self.ids.values()) - {*range(self.num_classes), IGNORE}
    if wrong:
      raise ValueError(
          f'ids lead to {sorted(wrong)}; train ids are'
          f' 0..{self.num_classes - 1}, and {IGNORE} for ignored'
      )
    wrong = set(self.things) - {*range(self.num_classes)}
    if wrong:
      raise ValueError(
          f'things are {sorted(wrong)}; train ids are 0..{self.num_classes - 1}'
      )
    wrong = [bit for bit in self.ids if not 0 <= bit < IGNORE]
    if self.overlapping and wrong:
      raise ValueError(
          f'ids of overlapping classes are places of bits, not {wrong[:5]}'
      )
    known = self.colors + self.ignored_colors
    repeated = {color for color in known if known.count(color) > 1}
    if self.color_coded and repeated:
      raise ValueError(
          f'two meanings for the colour {sorted(repeated)[0]}: masks cannot be'
          ' mapped by colour; give the classes other colours, or ids'
      )

  @property
  def num_classes(self):
    return len(self.names)

  def difference(self, other: 'LabelMap') -> str:
    """Says which class is another one in another label map; '' if none is."""
    pairs = itertools.zip_longest(self.names, other.names, fillvalue='nothing')
    for place, (a, b) in enumerate(pairs):
      if a != b:
        return f'class {place} is {a!r} of the one and {b!r} of the other'
    return ''

  def raw_ids(self) -> tuple[int, ...]:
    """Returns for each class the raw id that stands for it in a mask.

    Of several it is the one that is listed first. Where masks mean colours, it
    is the grey value, if all classes have one.

    Raises:
      ValueError: the classes have no raw ids.
    """
    first = {train: raw for raw, train in reversed(self.ids.items())}
    if self.color_coded and all(len(set(c)) == 1 for c in self.colors):
      first = {train: c[0] for train, c in enumerate(self.colors)}
    elif self.color_coded:
      raise ValueError(
          'The masks of this data set mean their colours, and its classes have'
          ' no raw ids. NAME.png has the colours of the classes as its palette,'
          ' and can be read as such a mask.'
      )
    if self.overlapping:
      raise ValueError(
          'The classes of this data set overlap, and a pixel has no single raw'
          ' id. Masks hold a bit for each class, in the order of the classes.'
      )
    raw = tuple(first.get(train, -1) for train in range(self.num_classes))
    lacking = [
        name
        for name, value in zip(self.names, raw, strict=True)
        if not 0 <= value < 1 << 16
    ]
    if lacking:
      raise ValueError(
          f'The run knows no raw ids from 0 to 65535 of {len(lacking)} classes,'
          f' such as {lacking[0]!r}. A run of an older version does not tell'
          " them: add 'ids' to labels.json in its workdir, a list of [raw id,"
          ' class].'
      )
    return raw

  def apply(self, mask, name):
    """Returns the train ids of a mask, uint8 [H, W].

    Where classes overlap, it is [H, W, K], see `overlapping`.

    Args:
      mask: raw ids [H, W] or colours [H, W, 3], as `image.read_mask` gives.
      name: what to call the mask where it holds a value that is not known.
    """
    colored = mask.ndim == 3
    if colored and not self.color_coded:
      raise BadExample(
          f'{name}: a coloured mask, but the masks of this set are ids (grey or'
          ' indexed); a set is colour-coded when every class has a colour and'
          ' no class has ids'
      )
    if self.overlapping:
      return self._apply_bits(mask, name)
    raw = _pack(mask) if colored else mask
    first, table = self._color_table if colored else self._id_table
    if raw.dtype == np.uint8:  # A table of all there can be is faster.
      label = cv2.LUT(raw, table.take(np.arange(256) - first, mode='clip'))
    else:
      label = table.take(raw.astype(np.int64) - first, mode='clip')
    unknown = label == _UNKNOWN
    if unknown.any():
      raise BadExample(self._complaint(raw[unknown], colored, name))
    return label.astype(np.uint8)

  def _apply_bits(self, mask, name):
    """Returns which classes the bits of each value name, [H, W, K]."""
    if mask.ndim != 2 or mask.dtype.itemsize > 4 or mask.min() < 0:
      raise BadExample(
          f'{name}: a mask of overlapping classes holds whole numbers of up to'
          f' 32 bits, [H, W], this is {mask.dtype} {mask.shape}'
      )
    mask = mask.astype(np.int64)
    unknown = mask & ~sum(1 << bit for bit in self.ids if bit < 32)
    if unknown.any():
      bits = [bit for bit in range(32) if (unknown >> bit & 1).any()]
      raise BadExample(
          f'{name}: the bits {bits} of its values name no class; it knows the'
          f" bits {_ranges(self.ids)}; a set of one's own lists them in"
          " dataset.json, in 'ids' of a class or in 'ignore'"
      )
    label = np.zeros((*mask.shape, self.num_classes), np.uint8)
    ignored = np.zeros(mask.shape, bool)
    for bit, train_id in self.ids.items():
      inside = (mask >> min(bit, 32) & 1).astype(bool)
      if train_id == IGNORE:
        ignored |= inside
      else:
        label[..., train_id] |= inside
    label[ignored] = IGNORE
    return label

  @functools.cached_property
  def _id_table(self):
    return _table(self.ids)

  @functools.cached_property
  def _color_table(self):
    known = {_pack(color): i for i, color in enumerate(self.colors)}
    ignored = {_pack(color): IGNORE for color in self.ignored_colors}
    return _table(known | ignored)

  def _complaint(self, values, colored, name):
    values, counts = np.unique(values, return_counts=True)
    shown = [
        f'{_unpack(values[i]) if colored else values[i]} ({counts[i]} px)'
        for i in np.argsort(-counts, stable=True)[:10]
    ]
    if len(values) > len(shown):
      shown.append(f'{len(values) - len(shown)} more')
    if colored:
      return (
          f'{name}: colours outside the label map: {", ".join(shown)}; a set of'
          " one's own lists them in dataset.json, as 'color' of a class or in"
          f" 'ignored_colors'{_about_greys(values)}"
      )
    return (
        f'{name}: ids outside the label map: {", ".join(shown)}; it knows'
        f" {_ranges(self.ids)}; a set of one's own lists them in dataset.json,"
        " in 'ids' of a class or in 'ignore'"
    )


def read(name):
  """Reads one of the label maps that come with segjax, such as 'ade20k'."""
  folder = importlib.resources.files('segjax.data.datasets') / 'label_maps'
  text = (folder / f'{name}.json').read_text()
  return parse(json.loads(text), f'{name}.json')


def parse(content, where):
  """Makes a label map of the content of a JSON file.

    {"classes": [{"name": "cell", "color": [0, 0, 0], "ids": [1, 2]}, ...],
     "ignore": [255],
     "ignored_colors": [[224, 224, 192]]}

  Classes are in the order of their train ids; only their names are needed.
  Colours and ids are given for all classes or for none. "thing": true marks a
  class of counted objects.

  Masks are grey or indexed files that hold raw ids, by default the train ids.
  With colours and without ids the set is colour-coded: masks mean their
  colours, also grey and indexed ones.

  With {"overlapping": true} pixels may be of several classes: the ids of
  classes, and those in 'ignore', are the places of bits in the values of a
  mask, by default the train ids; the lowest bit is 0.

  Args:
    content: what `json.load` returned.
    where: name of the file, for errors.
  """
  try:
    return _parse(content)
  except ValueError as error:
    raise ValueError(f'{where}: {error}') from error


def content(label_map: LabelMap) -> dict:
  """Returns what `parse` reads, for masks that hold train ids or their bits."""
  classes = [
      {'name': name, 'color': list(color), 'ids': [i]}
      | ({'thing': True} if i in label_map.things else {})
      for i, (name, color) in enumerate(
          zip(label_map.names, label_map.colors, strict=True)
      )
  ]
  if label_map.overlapping:
    ignored = [label_map.num_classes]  # The bit behind those of the classes.
    return {'classes': classes, 'ignore': ignored, 'overlapping': True}
  return {'classes': classes, 'ignore': [IGNORE]}


def _parse(content):
  _check_keys(content, {'classes'}, _KEYS)
  classes = content['classes']
  if not isinstance(classes, list) or not classes:
    raise ValueError("'classes' is a list of one class or more")
  for entry in classes:
    _check_keys(entry, {'name'}, _CLASS_KEYS)
  names = tuple(entry['name'] for entry in classes)
  for name in names:
    if not isinstance(name, str) or names.count(name) > 1:
      raise ValueError(f'a name is text and given once, {name!r} is not')
  given = {key for key in ('color', 'ids') if any(key in c for c in classes)}
  for key in given:
    lacking = [entry['name'] for entry in classes if key not in entry]
    if lacking:
      raise ValueError(
          f"'{key}' is given for some classes but not for {lacking[:5]}; give"
          ' it for all or for none'
      )
  colors = default_colors(len(classes))
  if 'color' in given:
    colors = tuple(_color(entry['color']) for entry in classes)
  overlapping = content.get('overlapping', False)
  if type(overlapping) is not bool:
    raise ValueError(f"'overlapping' is true or false, not {overlapping!r}")
  return LabelMap(
      names=names,
      colors=colors,
      ids=_ids(classes, content.get('ignore', [])),
      color_coded=given == {'color'} and not overlapping,
      overlapping=overlapping,
      ignored_colors=tuple(map(_color, content.get('ignored_colors', []))),
      things=tuple(i for i, c in enumerate(classes) if _is_thing(c)),
  )


def _is_thing(entry):
  value = entry.get('thing', False)
  if not isinstance(value, bool):
    raise ValueError(f"'thing' is true or false, {value!r} is not")
  return value


def _ids(classes, ignored):
  """Returns raw id -> train id or `IGNORE`."""
  values = [entry.get('ids', train) for train, entry in enumerate(classes)]
  ids = {}
  for train, raws in [*enumerate(values), (IGNORE, ignored)]:
    for raw in raws if isinstance(raws, list) else [raws]:
      if type(raw) is not int:
        raise ValueError(f'an id is a whole number, {raw!r} is not')
      if raw in ids:
        raise ValueError(f'two meanings for the id {raw}')
      ids[raw] = train
  return ids


def numbered(num_classes: int) -> LabelMap:
  """Returns the label map of classes that have no names."""
  return LabelMap(
      names=tuple(f'class {i}' for i in range(num_classes)),
      colors=default_colors(num_classes),
      ids={i: i for i in range(num_classes)},
  )


def default_colors(num_classes):
  """Returns the palette of PASCAL VOC, for sets that bring no colours.

  It deals the bits of the class id out to red, green and blue in turn, highest
  bit of the colour first, so that ids close together look different.
  """
  ids = np.arange(num_classes)[:, None]
  colors = np.zeros((num_classes, 3), int)
  for bit in range(8):
    colors |= ((ids >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
  return tuple(map(tuple, colors.tolist()))


def _check_keys(entry, needed, known):
  if not isinstance(entry, dict):
    raise ValueError(f'expected an object, this is {entry!r}')
  if needed - set(entry):
    raise ValueError(f'{sorted(needed - set(entry))} is missing in {entry}')
  if set(entry) - known:
    raise ValueError(
        f'unknown {sorted(set(entry) - known)}; known are {sorted(known)}'
    )


def _color(value):
  right = isinstance(value, list) and len(value) == 3
  if not right or not all(type(v) is int and 0 <= v <= 255 for v in value):
    raise ValueError(f'a colour is three numbers 0..255, {value!r} is not')
  return tuple(value)


def _table(values):
  """Returns the lowest key - 1, and the values from there, ends unknown."""
  first, last = min(values), max(values)
  if last - first >= 1 << 24:
    raise ValueError(f'the ids {first} and {last} are too far apart')
  table = np.full(last - first + 3, _UNKNOWN, np.uint16)
  for key, value in values.items():
    table[key - first + 1] = value
  return first - 1, table


def _pack(color):
  """Returns R * 65536 + G * 256 + B for a colour or an array [..., 3]."""
  red, green, blue = np.moveaxis(np.asarray(color, np.int32), -1, 0)
  packed = red << 16 | green << 8 | blue
  return packed if packed.ndim else int(packed)


def _unpack(value):
  return int(value) >> 16, int(value) >> 8 & 255, int(value) & 255


def _about_greys(colors):
  """Says what to do if all of some packed colours are greys, else ''."""
  if any(len(set(_unpack(color))) > 1 for color in colors):
    return ''
  return "; if greys are ids, give the classes 'ids'"


def _ranges(values):
  """Writes whole numbers briefly: '0..18, 255'."""
  parts = []
  for value in sorted(values):
    if parts and value == parts[-1][1] + 1:
      parts[-1][1] = value
    else:
      parts.append([value, value])
  return ', '.join(str(a) if a == b else f'{a}..{b}' for a, b in parts)
