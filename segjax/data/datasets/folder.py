"""A folder with your own images and masks.

  root/train/images/a.png  root/train/masks/a.png  root/dataset.json
  root/val/images/b.jpg    root/val/masks/b.png

Each folder with a subfolder `images` is a split, and may have any name. An
image and its mask have the same stem; formats are those of `image.SUFFIXES`.
The optional dataset.json names the classes as `label_map.parse` describes.
Where classes overlap, a mask has a bit for each, or each class a folder:
`masks/CLASS/a.png`, in which all values but 0 are of the class. An image that a
class has no mask for does not show it, and pixels in a mask of the folder
`masks/ignore` are ignored.

Masks that `segjax.predict --min_confidence` has written lie beside a
dataset.json of their own, `train/masks/dataset.json`, which is read where the
folder has none.

Without either, the label map is made from the ids in the masks of train, and
logged. Region proposals are read from NAME.npz in the split's subfolder
`proposals`.

The subfolder `instances` may hold a map of objects for each image, a grey file
of 8 or 16 bits, or one in RGB, with the number of its object at each pixel, and
0 for none. NAME.json beside it tells the classes of the numbers; without, the
class of an object is that of most of its pixels in the mask. With neither, all
objects are of one class.
"""

from concurrent import futures
import dataclasses

from absl import logging
import numpy as np

from segjax.data import image
from segjax.data import label_map
from segjax.data import listing
from segjax.data import texts
from segjax.data.datasets import files
from segjax.data.label_map import IGNORE

ABOUT = """\
Expected: train/images/NAME.png (or jpg, webp, tif, bmp, npy), train/masks/
NAME.png or train/instances/NAME.png, the same for val, and optionally
dataset.json, which names the classes."""


OBJECTS = 'instances'  # Folder of the maps of objects of a split.
LABELS = 'dataset.json'  # Names the classes.
OBJECT_NAMES = ('background', 'object')  # Without masks and dataset.json.


def load(split, root, *, proposals=0, instances=False, objects=300):
  """Loads a split of the data set in `root`.

  Args:
    split: name of the split's folder.
    root: the data directory.
    proposals: number of region proposals to read for each image; 0 reads none.
    instances: whether examples have `instances` [H, W] and their tables, see
      segjax/data/datasets/README.md. Where dataset.json does not say which
      classes are things, all but the first are.
    objects: rows of these tables, the most objects that an image may have.
  """
  root = files.find(root, 'folder', ('*/images',), ABOUT)
  splits = sorted(path.parent.name for path in files.matching(root, '*/images'))
  files.check_split('folder', split, splits)
  path = root / LABELS
  if not path.exists() and (root / split / 'masks' / LABELS).exists():
    path = root / split / 'masks' / LABELS
  of_objects = _lacks_masks(root, split)
  if path.exists():
    labels = _read_json(path)
  elif of_objects:
    labels = label_map.LabelMap(
        OBJECT_NAMES, label_map.default_colors(2), {0: 0, 1: 1}
    )
  else:
    files.check_split('folder', 'train', splits)  # `count` reads its masks.
    labels = count(_examples(root, 'train'))
  folder = root / split / OBJECTS
  if (
      of_objects
      and labels.num_classes != 2
      and not listing.find(folder, (files.TABLE,)).files
  ):
    raise ValueError(
        f'{path} names {labels.num_classes} classes, and {root / split} has'
        ' instances without masks, which are of one class beside the'
        ' background: name two, add masks, or add NAME.json to each map of'
        ' objects, such as {"1": "car"}.'
    )
  if instances and labels.overlapping:
    raise ValueError(
        f'{path}: classes that overlap have no objects; take out'
        ' "overlapping" or config.dataset.options.instances.'
    )
  if instances and not labels.things:
    things = tuple(range(1, labels.num_classes))
    labels = dataclasses.replace(labels, things=things)
  given = dict(
      proposals=proposals,
      proposals_folder=root / split / 'proposals',
      objects=objects if instances else 0,
      objects_folder=folder,
  )
  if labels.overlapping and (layers := _layers(root / split / 'masks', labels)):
    return Layered(split, root / split / 'images', layers, labels, **given)
  kind = files.ObjectFiles if of_objects else files.Files
  return kind(split, _examples(root, split), labels, **given)


class Layered(files.Files):
  """A split of overlapping classes whose masks lie in a folder each."""

  def __init__(self, split, images, layers, label_map, **options):
    """Pairs images with masks.

    Args:
      split: name of the split.
      images: folder of the images.
      layers: {train id or IGNORE: {name: path}} of the masks.
      label_map: the classes.
      **options: see `files.Files`.

    Raises:
      FileNotFoundError: an image has no mask of any class.
    """
    paths = files.list_files(images, image.SUFFIXES)
    first = {
        name: path for layer in layers.values() for name, path in layer.items()
    }
    if unpaired := [path for name, path in paths.items() if name not in first]:
      raise FileNotFoundError(
          f'{len(unpaired)} of {len(paths)} images have no mask of any class;'
          f' the first is {unpaired[0]}'
      )
    examples = [
        files.Example(name, path, first[name]) for name, path in paths.items()
    ]
    super().__init__(split, examples, label_map, **options)
    self._layers = layers

  def read_label(self, example):
    inside = {
        train_id: image.read_mask(layer[example.name])
        for train_id, layer in self._layers.items()
        if example.name in layer
    }
    shapes = {train_id: mask.shape for train_id, mask in inside.items()}
    shape = next(iter(shapes.values()))
    for train_id, other in shapes.items():
      if len(other) != 2 or other != shape:
        raise image.BadExample(
            f'{self._layers[train_id][example.name]}: the mask of a class is'
            f' grey and as large as those of others, {shape}, this is {other}'
        )
    label = np.zeros((*shape, self.label_map.num_classes), np.uint8)
    for train_id, mask in inside.items():
      if train_id != IGNORE:
        label[..., train_id] = mask > 0
    if IGNORE in inside:
      label[inside[IGNORE] > 0] = IGNORE
    return label


def _layers(folder, labels):
  """Returns {train id or IGNORE: {name: path}} of class folders, {} of none."""
  titles = {name: i for i, name in enumerate(labels.names)}
  titles = {'ignore': IGNORE, **titles}
  return {
      train_id: files.list_files(folder / title, image.SUFFIXES)
      for title, train_id in titles.items()
      if (folder / title).is_dir()
  }


def count(examples):
  """Makes a label map from the ids in masks, and logs how often they occur.

  Ids become train ids in ascending order. If only 0 and 255 occur, they are
  background and foreground; otherwise 255 is ignored.

  Raises:
    ValueError: 255 may be ignored or an object beside stray values: masks hold
      0 and 255 alone, or 255 has more pixels than all ids but 0.
  """
  with futures.ThreadPoolExecutor() as pool:
    counted = list(pool.map(_count_ids, [e.mask for e in examples]))
  pixels = {}
  for ids, counts in counted:
    for raw, number in zip(ids.tolist(), counts.tolist(), strict=True):
      pixels[raw] = pixels.get(raw, 0) + number
  known = sorted(pixels)
  _check_255(pixels, [ids.tolist() for ids, _ in counted])
  if known == [0, IGNORE]:
    names, ids = ['background', 'foreground'], {0: 0, IGNORE: 1}
  else:
    classes = [raw for raw in known if raw != IGNORE]
    names = [f'id {raw}' for raw in classes]
    ids = {raw: i for i, raw in enumerate(classes)} | {IGNORE: IGNORE}
  total = sum(pixels.values())
  logging.warning(
      'There is no dataset.json; the ids in %d masks are:\n%s',
      len(examples),
      '\n'.join(
          f'  {raw}: {pixels[raw] / total:7.2%} of the pixels, '
          + ('ignored' if ids[raw] == IGNORE else f'class {ids[raw]}')
          for raw in known
      ),
  )
  colors = label_map.default_colors(len(names))
  return label_map.LabelMap(tuple(names), colors, ids)


def _check_255(pixels, ids_of_masks):
  """Raises ValueError if it is not clear what 255 means.

  Args:
    pixels: {id: number of pixels}.
    ids_of_masks: the ids in each mask.
  """
  known = sorted(pixels)
  if IGNORE not in pixels or known in ([0, IGNORE], [IGNORE]):
    return
  others = sum(n for raw, n in pixels.items() if raw not in (0, IGNORE))
  alone = sum(ids == [0, IGNORE] for ids in ids_of_masks)
  if not alone and pixels[IGNORE] <= others:
    return
  shown = [f'{raw}: {pixels[raw]} px' for raw in known]
  if len(shown) > 20:
    shown[15:-5] = [f'{len(shown) - 20} more']
  raise ValueError(
      'There is no dataset.json, and the masks do not tell whether 255 is a'
      f' class or ignored: {alone} of {len(ids_of_masks)} hold 0 and 255 alone,'
      f' others further values. All are {", ".join(shown)}. Correct stray'
      ' values, or say in dataset.json what they are, as in {"classes":'
      ' [{"name": "background", "ids": [0]}, {"name": "object", "ids": [255]}],'
      ' "ignore": [254]}'
  )


def _examples(root, split):
  """Returns the examples of a split."""
  if _lacks_masks(root, split):
    folder, beside = OBJECTS, files.TABLE
  else:
    folder, beside = 'masks', ''
  return files.pair(
      root / split / 'images', root / split / folder, beside_masks=beside
  )


def _lacks_masks(root, split):
  """Returns whether a split has maps of objects in the place of masks."""
  folder = root / split
  return (folder / OBJECTS).is_dir() and not (folder / 'masks').is_dir()


def _read_json(path):
  """Reads the label map in a dataset.json."""
  try:
    # It recognises UTF-16 and UTF-32, and a byte order mark.
    content = texts.parse_json(path.read_bytes())
  except UnicodeDecodeError as error:
    raise ValueError(
        f'{path}: not UTF-8, {error.reason} at byte {error.start}; save it as'
        ' UTF-8'
    ) from error
  except ValueError as error:
    raise ValueError(f'{path}: not JSON, {error}') from error
  return label_map.parse(content, path)


def _count_ids(path):
  """Returns the ids in a mask file, and the number of pixels of each."""
  mask = image.read_mask(path)
  if mask.ndim == 3:
    raise ValueError(
        f'{path}: a coloured mask; give the classes and their colours in'
        ' dataset.json'
    )
  return np.unique(mask, return_counts=True)
