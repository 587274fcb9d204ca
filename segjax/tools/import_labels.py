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
import json
import pathlib
import sys

from absl import app
from absl import flags

from segjax.data import annotations
from segjax.data import label_map
from segjax.data.annotations import classes as class_choice
from segjax.data.annotations import writing
from segjax.data.label_map import IGNORE
from segjax.runtime import atomic
from segjax.runtime import terminal


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
  known = _known_classes(path, bool(overlapping))
  if overlapping:
    if classes or stuff:
      raise ValueError(
          '--overlapping names the classes, and none is of counted objects:'
          ' leave out --classes and --stuff'
      )
    chosen = class_choice.choose_overlapping(
        found, overlapping, ignored=ignored, known=known, where=path
    )
  else:
    chosen = class_choice.choose(
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
    written = writing.write_split(pictures, target / other, chosen, link=link)
    parts.append(report(target / other, written, chosen.labels))
  if known is None:
    atomic.write_json(path, label_map.content(chosen.labels))
  return '\n'.join(parts)


def _known_classes(path, overlapping):
  """Returns the classes of the dataset.json of a data set, if there is one.

  Raises:
    ValueError: its masks hold other ids than those that are written.
  """
  if not path.exists():
    return None
  known = label_map.parse(json.loads(path.read_bytes()), path)
  ids = {i: i for i in range(known.num_classes)}
  ids[known.num_classes if overlapping else IGNORE] = IGNORE
  if dict(known.ids) != ids or known.overlapping != overlapping:
    raise ValueError(
        f'{path} has other ids than this program writes now: import into'
        ' another folder'
    )
  return known


def report(
    folder: pathlib.Path, written: writing.Written, labels: label_map.LabelMap
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
