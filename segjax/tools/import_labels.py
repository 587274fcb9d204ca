r"""Makes a data set of labels that other programs have written.

  python -m segjax.tools.import_labels --from=labelme drawn/ mydata/
  python -m segjax.tools.import_labels --from=coco \
      annotations/instances_val2017.json mydata/ --images=val2017
  export SEGJAX_DATA_DIR=mydata
  python -m segjax.doctor --config=configs/deeplabv3.py:folder

It writes images, masks and, where classes are counted objects, maps of objects
with their classes, and dataset.json: what the data set 'folder' reads. Formats
are COCO's instances and panoptic segments, labelme, YOLO's segmentation files,
CVAT's 'CVAT for images 1.1' and 'Segmentation mask 1.1', GeoJSON, folders of
images and masks, and sets that segjax reads; segjax/data/annotations tells
which files each expects.

Where regions overlap, upper ones are seen, and of one layer smaller ones. With
--overlapping masks have a bit for each of the classes that it names, for the
task multilabel, and regions hide nothing:

  python -m segjax.tools.import_labels --from=data_set --data_set=camvid \
      CamVid/ bits/ --overlapping=road,vehicle=car+bicyclist,vegetation=tree

What is left out or changed is counted at the end. A split that is already in
the data set is not touched; a new one must have the classes of its
dataset.json.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import json
import os
import pathlib
import shutil
import sys

from absl import app
from absl import flags
import numpy as np

from segjax.data import annotations
from segjax.data import image
from segjax.data import label_map
from segjax.data.annotations import painting
from segjax.data.datasets import folder as folder_set
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.runtime import atomic
from segjax.runtime import progress
from segjax.runtime import terminal

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


def choose_classes(
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


def describe(labels: label_map.LabelMap) -> dict:
  """Returns the content of dataset.json."""
  entries = []
  for i, (name, color) in enumerate(
      zip(labels.names, labels.colors, strict=True)
  ):
    entry = {'name': name, 'color': list(color), 'ids': [i]}
    entries.append(entry | ({'thing': True} if i in labels.things else {}))
  ignored = [raw for raw, train_id in labels.ids.items() if train_id == IGNORE]
  content = {'classes': entries, 'ignore': ignored}
  return content | ({'overlapping': True} if labels.overlapping else {})


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


def report(
    folder: pathlib.Path, written: Written, labels: label_map.LabelMap
) -> str:
  """Tells what of a split has been written, and what has not."""
  width = max(len(name) for name in (*labels.names, 'ignored'))
  share = written.pixels / max(written.area, 1)
  lines = [f'{folder}: {written.pictures} images']
  for i, name in enumerate((*labels.names, 'ignored')):
    line = f'  {name:{width}} {share[i]:8.3%} of the pixels'
    if i in labels.things:
      line += f'  {written.objects[i]:6} objects'
    lines.append(line)
  lines += [f'  note: {line}' for line in written.notes.lines()]
  return '\n'.join(lines)


def import_labels(
    name: str,
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    images: pathlib.Path | None = None,
    split: str = '',
    classes: tuple[str, ...] = (),
    stuff: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    overlapping: Mapping[str, Sequence[str]] | None = None,
    link: bool = False,
    **options,
) -> str:
  """Makes a data set of labels; returns what was written and left out.

  Args:
    name: of the format.
    source: file or folder of the labels.
    target: folder of the data set.
    images: folder of the images; None looks where the format puts them.
    split: name of the split, if the source has but one; '' takes its own.
    classes: the classes to take, in their order; () takes all.
    stuff: classes that are not counted objects.
    ignored: classes whose pixels are ignored.
    overlapping: the classes that overlap, each with the classes of the source
      that are of it; masks then have a bit for each.
    link: whether images become links to the originals.
    **options: those of the format.

  Raises:
    FileExistsError: the data set has a split of that name.
    ValueError: the labels cannot be read, or do not fit the data set.
  """
  notes = annotations.Notes()
  found = annotations.read(name, source, images, notes, **options)
  splits = found.splits
  if split:
    if len(splits) > 1:
      raise ValueError(
          f'{source} has the splits {", ".join(splits)}: --split names a single'
          ' one'
      )
    splits = dict(zip([split], splits.values(), strict=True))
  for other in splits:
    if (target / other).exists():
      raise FileExistsError(
          f'{target / other} exists, and is not touched: choose another'
          ' --split, or another folder'
      )
  path = target / 'dataset.json'
  known = None
  if path.exists():
    known = label_map.parse(json.loads(path.read_bytes()), path)
    ids = {i: i for i in range(known.num_classes)}
    ids[known.num_classes if known.overlapping else IGNORE] = IGNORE
    if dict(known.ids) != ids or known.overlapping != bool(overlapping):
      raise ValueError(
          f'{path} has other ids than this program writes now: import into'
          ' another folder'
      )
  if overlapping:
    if classes or stuff:
      raise ValueError(
          '--overlapping names the classes, and none is of counted objects:'
          ' leave out --classes and --stuff'
      )
    chosen = choose_overlapping(
        found, overlapping, ignored=ignored, known=known, where=path
    )
  else:
    chosen = choose_classes(
        found,
        classes=classes,
        stuff=stuff,
        ignored=ignored,
        known=known,
        where=path,
    )
  target.mkdir(parents=True, exist_ok=True)
  parts = [f'note: {line}' for line in notes.lines()]
  for other, pictures in splits.items():
    written = write_split(pictures, target / other, chosen, link=link)
    parts.append(report(target / other, written, chosen.labels))
  if known is None:
    with atomic.replacing(path) as file:
      file.write(
          (json.dumps(describe(chosen.labels), indent=2) + '\n').encode()
      )
  return '\n'.join(parts)


def main(name, paths, **options):
  """Imports labels and prints the report."""
  if len(paths) != 2:
    sys.exit(
        'segjax: give where the labels are and where the data set goes, as in'
        ' --from=labelme drawn/ mydata/'
    )
  source, target = map(pathlib.Path, paths)
  with terminal.errors_in_words():
    print(import_labels(name, source, target, **options))
  task = ''
  if options.get('overlapping'):
    task = (
        " --config.task=multilabel --config.loss='binary_cross_entropy + dice'"
    )
  print(
      f'Next: SEGJAX_DATA_DIR={target} python -m segjax.doctor'
      f' --config=configs/deeplabv3.py:folder{task}'
  )


def read_groups(entries: Sequence[str]) -> dict[str, tuple[str, ...]]:
  """Returns the classes of entries such as 'road' and 'vehicle=car+bus'.

  Raises:
    ValueError: a class is named twice, or a name is empty.
  """
  groups = {}
  for entry in entries:
    title, _, names = entry.partition('=')
    members = tuple(n.strip() for n in (names or title).split('+'))
    title = title.strip()
    if not title or not all(members) or title in groups:
      raise ValueError(
          f'--overlapping={",".join(entries)}: each class is named once, as in'
          ' road,vehicle=car+bus'
      )
    groups[title] = members
  return groups


if __name__ == '__main__':
  _FROM = flags.DEFINE_enum(
      'from', None, annotations.names(), 'Format of the labels.'
  )
  _IMAGES = flags.DEFINE_string(
      'images', '', 'Folder of the images, if it is not found.'
  )
  _SPLIT = flags.DEFINE_string(
      'split', '', "Name of the split; by default the source's, or train."
  )
  _CLASSES = flags.DEFINE_list(
      'classes', [], 'The classes to take, in their order; others are left out.'
  )
  _STUFF = flags.DEFINE_list(
      'stuff', [], 'Classes that are no counted objects, such as sky.'
  )
  _IGNORED = flags.DEFINE_list(
      'ignored', [], 'Classes whose pixels are ignored in training and scores.'
  )
  _OVERLAPPING = flags.DEFINE_list(
      'overlapping',
      [],
      'Classes that may overlap, with those of the labels that are of each, as'
      ' in road,vehicle=car+bus; masks then have a bit for each.',
  )
  _LINK = flags.DEFINE_bool(
      'link', False, 'Whether images are linked instead of copied.'
  )
  _CLASS_PROPERTY = flags.DEFINE_string(
      'class_property', '', 'Of GeoJSON, the property that tells the class.'
  )
  _DATA_SET = flags.DEFINE_string(
      'data_set', '', 'Of --from=data_set, which set it is, such as camvid.'
  )
  flags.mark_flags_as_required(['from'])

  def _run(args):
    options = {}
    if _CLASS_PROPERTY.value:
      options['class_property'] = _CLASS_PROPERTY.value
    if _DATA_SET.value:
      options['data_set'] = _DATA_SET.value
    with terminal.errors_in_words():
      groups = read_groups(_OVERLAPPING.value)
    main(
        _FROM.value,
        args[1:],
        images=pathlib.Path(_IMAGES.value) if _IMAGES.value else None,
        split=_SPLIT.value,
        classes=tuple(_CLASSES.value),
        stuff=tuple(_STUFF.value),
        ignored=tuple(_IGNORED.value),
        overlapping=groups,
        link=_LINK.value,
        **options,
    )

  app.run(_run, flags_parser=terminal.parse_flags)
