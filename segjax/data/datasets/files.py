"""Finds and reads data sets that consist of image and mask files."""

import collections
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import fnmatch
import functools
import re
import unicodedata

from absl import logging
from etils import epath
import numpy as np

from segjax.data import image
from segjax.data import listing
from segjax.data import object_statistics
from segjax.data import objects
from segjax.data import proposals
from segjax.data import texts
from segjax.data import values
from segjax.data.datasets import Dataset
from segjax.data.datasets import NoSplitError
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE

TABLE = '.json'  # End of the name of a file of objects' classes.
SAMPLE = 16  # Images that are read to know how those of a split are.


@dataclasses.dataclass(frozen=True)
class Example:
  """The files of an example."""

  name: str
  image: epath.Path
  mask: epath.Path | None  # None where one file has the truth of all images.


class Examples(list):
  """A list of `Example`s.

  Attributes:
    left_out: a sentence for each folder of which files were left out.
  """

  left_out = ()


class Files(Dataset):
  """A split that reads one image file and one mask file for each example.

  Attributes:
    examples: the files of each example.
    left_out: sentences about files that are no examples.
    has_masks: whether masks tell the label, and objects come from other files.
    channels: number of channels of the images; grey is repeated to it, and
      alpha is dropped. By default it is that of most images of a sample.
    proposals: number of regions that are read for each example, from NAME.npz
      in the folder `proposals_folder`; 0 reads none.
    objects: rows of the tables of objects, which are read for each example
      from the file of its name in the folder `objects_folder`; 0 reads none.
      NAME.json beside it may tell their classes, see `objects.read_table`;
      without, an object is of the class of most of its pixels.
  """

  has_masks = True

  def __init__(
      self,
      split,
      examples,
      label_map,
      channels=None,
      *,
      proposals=0,
      proposals_folder='',
      objects=0,
      objects_folder='',
  ):
    self.split = split
    self.examples = tuple(examples)
    self.left_out = getattr(examples, 'left_out', ())
    self.label_map = label_map
    self.proposals = proposals
    self._proposals_folder = epath.Path(proposals_folder)
    if proposals:
      check_exist([self._region_file(e) for e in self.examples])
    self.objects = objects
    self._maps, self._tables = {}, {}  # Files of objects, by name.
    if objects_folder and objects:
      maps = list_files(objects_folder, image.SUFFIXES)
      lacking = [e.image for e in self.examples if e.name not in maps]
      if lacking:
        raise FileNotFoundError(
            f'{len(lacking)} of {len(self.examples)} images have no map of'
            f' objects in {objects_folder}, the first is {lacking[0]}'
        )
      self._maps = maps
    if objects_folder and epath.Path(objects_folder).is_dir():
      self._tables = dict(listing.find(objects_folder, (TABLE,)).files)
    if channels:
      self.channels = channels

  def __len__(self):
    return len(self.examples)

  def __getitem__(self, index):
    example = self.examples[index]
    pixels = self.read_image(example)
    image.check_finite(pixels, example.image)
    truth = self.read_truth(example)
    label = truth['label']
    if pixels.shape[:2] != label.shape[:2]:
      raise BadExample(
          f'{example.mask or "the truth"} is {_size(label)} but its image'
          f' {example.image} is {_size(pixels)} (height x'
          f' width){_about_turned(example)}'
      )
    features = {'image': pixels, 'name': example.name, **truth}
    if self.proposals:
      features['proposals'] = proposals.read(
          self._region_file(example), label.shape[:2], self.proposals
      )
    return features

  def read_truth(self, example):
    """Returns the label of an example and, if asked for, its objects."""
    label = self.read_label(example)
    if not self.objects:
      return {'label': label}
    ids, classes, crowds = self.read_objects(example, label)
    return self.with_objects(
        label, ids, classes, crowds, self.where_objects(example)
    )

  def read_objects(self, example, label):
    """Returns the ids [H, W], classes [N] and crowds [N] of an example."""
    path = self._maps[example.name]
    ids, numbers = objects.dense(objects.read_numbers(path))
    check_size(path, ids, example.mask, label)
    table = self.read_table(example)
    if table is None:
      classes = objects.vote(ids, label)
      return ids, classes, np.zeros(len(classes), np.uint8)
    return ids, *objects.look_up(numbers, table, path)

  def compare_objects(self, index):
    """Compares the objects of an example with its mask.

    Returns:
      What part of each object its mask gives another class, {number in the
      example: share}, and how many objects of the map are none of the example,
      because most of their pixels are of stuff, or ignored. Where no mask tells
      classes beside the objects, ({}, 0).
    """
    if not self.objects or not self.has_masks:
      return {}, 0
    example = self.examples[index]
    label = self.read_label(example)
    ids, classes, _ = self.read_objects(example, label)
    shares = object_statistics.astray(ids, classes, label, IGNORE)
    kept = np.isin(classes, self.label_map.things)
    shares = dict(enumerate(shares[kept].tolist(), 1))
    told = self.read_table(example) is not None
    return shares, 0 if told else int((~kept).sum())

  def read_table(self, example):
    """Returns `objects.read_table` of an example, None if it has no file."""
    path = self._tables.get(example.name)
    return path and objects.read_table(path, self.label_map)

  def where_objects(self, example):
    """Names the file of the objects of an example."""
    return self._maps.get(example.name, example.image)

  def with_objects(self, label, ids, classes, crowds, name):
    """Returns the fields of label and objects, which agree; see `objects`."""
    ids, classes, crowds, label = objects.settle(
        ids, classes, crowds, label, self.label_map.things
    )
    rows = self.objects
    return {
        'label': label,
        'instances': ids,
        'instance_classes': objects.table(classes, rows, name, IGNORE),
        'instance_crowds': objects.table(crowds, rows, name, 0),
    }

  @functools.cached_property
  def channels(self):
    """Number of channels that most images of a sample have.

    Of numbers equally frequent it is that which more images can be brought to.
    """
    counts = collections.Counter(pixels.shape[2] for pixels in self._sample)

    def votes(channels):
      fitting = [image.fits(given, channels) for given in counts.elements()]
      return counts[channels], sum(fitting)

    return max(counts, key=votes)

  @functools.cached_property
  def values(self):
    """Type and range of the images of a sample."""
    return values.measure(self._sample)

  @functools.cached_property
  def _sample(self):
    """Small parts of up to `SAMPLE` images, evenly spread over all."""
    places = np.linspace(0, len(self) - 1, min(SAMPLE, len(self))).astype(int)
    with futures.ThreadPoolExecutor() as pool:
      found = list(pool.map(self._read_part, places))
    found = [part for part in found if part is not None]
    if found:
      return found
    for index in range(len(self)):
      part = self._read_part(index)
      if part is not None:
        return [part]
    try:
      image.read_image(self.examples[0].image)
    except BadExample as error:
      raise BadExample(
          f'none of the {len(self)} images can be read; the first is {error}'
      ) from error
    raise BadExample('the split has no images')

  def _read_part(self, index):
    """Returns every so many rows and columns of an image, None if damaged."""
    try:
      pixels = image.read_image(self.examples[index].image)
    except BadExample:
      return None
    step = max(int((pixels[:, :, 0].size / 65536) ** 0.5), 1)
    return pixels[::step, ::step].copy()

  def where(self, index):
    """Names the image and the mask file of an example."""
    example = self.examples[index]
    files = (example.image, example.mask)
    return ' and '.join(str(path) for path in files if path)

  def _region_file(self, example):
    """Returns the path of an example's region proposals."""
    return self._proposals_folder / f'{example.name}.npz'

  def read_image(self, example):
    """Returns the image of an example, [H, W, C]."""
    return image.read_image(example.image, channels=self.channels)

  def read_label(self, example):
    """Returns the train ids of an example, see `LabelMap.apply`."""
    mask = image.read_mask(example.mask, colors=self.label_map.color_coded)
    return self.label_map.apply(mask, example.mask)


class ObjectFiles(Files):
  """A split whose masks are maps of objects, which tell the label, too.

  A file NAME.json beside a map tells the class of each of its numbers, of
  objects as of stuff. Without, the label map has two classes, and all numbers
  are of class 1. Pixels of the number 0 are what the label map says of the raw
  id 0, by default ignored.
  """

  has_masks = False

  def read_label(self, example):
    """Returns the train ids of the numbers, [H, W] uint8."""
    ids, numbers = objects.dense(objects.read_numbers(example.mask))
    table = self.read_table(example)
    if table is not None:
      classes, _ = objects.look_up(numbers, table, example.mask)
    elif self.label_map.num_classes == 2:
      classes = np.ones(len(numbers), np.uint8)
    else:
      raise BadExample(
          f'{example.mask}: neither a mask nor a JSON file beside it tells the'
          f' classes of its objects, of {self.label_map.num_classes}'
      )
    outside = np.uint8(self.label_map.ids.get(0, IGNORE))
    return np.append(outside, classes)[ids].astype(np.uint8)


def find(
    root: epath.PathLike,
    name: str,
    markers: Sequence[str],
    about: str,
    inside: Sequence[str] = ('',),
) -> epath.Path:
  """Finds the folder of a data set: `root` itself or `root/name`.

  Args:
    root: the data directory, or '' if none is configured.
    name: name of the data set.
    markers: paths or patterns, at least one of which exists in the folder.
    about: where to get the data set, and its layout; for the error.
    inside: folders below these two to look in, such as the one that an archive
      unpacks to.

  Raises:
    FileNotFoundError: `root` is '', or no folder has a marker.
  """
  if not root:
    raise FileNotFoundError(
        f"data set '{name}': where? Set config.data_dir or the environment"
        f' variable SEGJAX_DATA_DIR.\n{about}'
    )
  folders = (epath.Path(root), epath.Path(root) / name)
  for folder in (top / part for top in folders for part in inside):
    if any(matching(folder, marker) for marker in markers):
      return folder
  raise FileNotFoundError(
      f"data set '{name}' is neither in {folders[0]} nor in {folders[1]}.\n"
      f'{about}'
  )


def matching(folder: epath.Path, pattern: str) -> list[epath.Path]:
  """Lists the paths below a folder that match a pattern, in order.

  Only the pattern has wildcards. `folder.glob` would read the name of the
  folder as a pattern too, and not find one with brackets in its name.

  Args:
    folder: where to look.
    pattern: path below the folder, whose parts may have wildcards.
  """
  paths = [folder]
  for part in pattern.split('/'):
    if re.search(r'[*?\[]', part):
      paths = [
          inside
          for path in paths
          if path.is_dir()
          for inside in path.iterdir()
          if fnmatch.fnmatchcase(inside.name, part)
          and not inside.name.startswith('.')
      ]
    else:
      paths = [path / part for path in paths]
  return sorted(path for path in paths if path.exists())


def check_split(name: str, split: str, splits: Iterable[str]) -> None:
  """Raises NoSplitError unless a data set has a split among its `splits`."""
  if split not in splits:
    raise NoSplitError(
        f"data set '{name}' has no split '{split}'; it has {', '.join(splits)}"
    )


def pair(
    images: epath.PathLike,
    masks: epath.PathLike,
    image_suffixes: Sequence[str] = image.SUFFIXES,
    mask_suffixes: Sequence[str] | None = None,
    *,
    beside_masks: str = '',
) -> Examples:
  """Pairs the images of a folder with the masks of another by their names.

  The name of an example is its path in the folder, without the suffix.

  Args:
    images: folder of the images; subfolders are searched too.
    masks: folder of the masks; those without an image are left out.
    image_suffixes: ends of the names of image files.
    mask_suffixes: ends of the names of mask files; by default `image_suffixes`.
    beside_masks: end of the names of files that belong to masks.

  Returns:
    `Examples`, sorted by path.

  Raises:
    FileNotFoundError: an image has no mask.
  """
  image_files, more_images = _list_files(images, image_suffixes)
  mask_files, more_masks = _list_files(
      masks, mask_suffixes or image_suffixes, beside_masks
  )
  mask_files = _named_alike(mask_files, image_files)
  unpaired = [image_files[n] for n in image_files if n not in mask_files]
  if unpaired:
    raise FileNotFoundError(
        f'{len(unpaired)} of {len(image_files)} images have no mask in {masks},'
        f' the first is {unpaired[0]}'
    )
  examples = Examples(
      Example(name, path, mask_files[name])
      for name, path in image_files.items()
  )
  if single := len(mask_files) - len(examples):
    more_masks = ', '.join(
        filter(None, (f'{single} without image', more_masks))
    )
  examples.left_out = tuple(
      f'{folder}: {rest}'
      for folder, rest in ((images, more_images), (masks, more_masks))
      if rest
  )
  if examples.left_out:
    logging.info('Left out: %s', '; '.join(examples.left_out))
  return examples


def read_list(
    path: epath.PathLike, images: epath.PathLike, masks: epath.PathLike
) -> list[Example]:
  """Returns the examples whose names a text file lists, one in each line.

  Args:
    path: path of the text file.
    images: path of the images, with '*' for the name.
    masks: path of the masks, with '*' for the name.

  Raises:
    FileNotFoundError: the list is missing or empty, or a file is missing.
  """
  path = epath.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f'the list of examples {path} is missing')
  examples = [
      Example(
          name,
          # The last star is that of the name; a folder may have others.
          *(
              epath.Path(name.join(str(path).rsplit('*', 1)))
              for path in (images, masks)
          ),
      )
      for name in texts.read(path).split()
  ]
  if not examples:
    raise FileNotFoundError(f'the list of examples {path} is empty')
  check_exist([path for e in examples for path in (e.image, e.mask)])
  return examples


def check_exist(paths: Sequence[epath.Path]) -> None:
  """Raises FileNotFoundError if any of the files is missing."""
  missing = [path for path in paths if not path.is_file()]
  if missing:
    raise FileNotFoundError(
        f'{len(missing)} of {len(paths)} files are missing, the first is'
        f' {missing[0]}'
    )


def check_size(
    path: epath.PathLike,
    ids: np.ndarray,
    mask: epath.PathLike,
    label: np.ndarray,
) -> None:
  """Raises `BadExample` if a map of objects and a label differ in size."""
  if ids.shape != label.shape[:2]:
    raise BadExample(
        f'{path} is {_size(ids)} but its mask {mask} is {_size(label)} (height'
        ' x width)'
    )


def list_files(
    folder: epath.PathLike, suffixes: Sequence[str]
) -> dict[str, epath.Path]:
  """Returns {name: path} of the files under a folder, sorted by path.

  A name is the path in the folder without the suffix. What is left out, such
  as hidden files, is described in `listing.find`.

  Raises:
    FileNotFoundError: the folder is missing, or has no such file.
    ValueError: two files have the same name.
  """
  return _list_files(folder, suffixes)[0]


def _list_files(folder, suffixes, beside=''):
  """Returns {name: path} as `list_files`, and a text on what is left out.

  Files whose names end with `beside` are neither listed nor left out.
  """
  found = listing.find(folder, suffixes)
  found.left_out.pop(beside, None)
  files = {}
  for name, path in found.files:
    if name in files:
      raise ValueError(f'two files for one example: {files[name]} and {path}')
    files[name] = path
  rest = found.describe_rest()
  if not files:
    raise FileNotFoundError(
        f'the folder {folder} has no files that end with {", ".join(suffixes)}'
        + (f'; left out: {rest}' if rest else '')
    )
  return files, rest


def _named_alike(files, others):
  """Returns files under those names of others that look the same.

  The letter e with an accent is one character or two in Unicode, and macOS and
  other systems write names in different ways.

  Args:
    files: {name: path}.
    others: names, or what has them as keys.
  """
  forms = {unicodedata.normalize('NFC', n): n for n in others if n not in files}

  def name(given):
    form = unicodedata.normalize('NFC', given)
    return given if given in others else forms.pop(form, given)

  return {name(given): path for given, path in files.items()}


def _about_turned(example):
  """Says what to do if an image is shown turned by a quarter, else ''."""
  if image.read_orientation(example.image) < 5:
    return ''
  return (
      '; EXIF shows the image turned by a quarter, which training does not:'
      ' write it upright, without EXIF'
  )


def _size(array):
  """Returns the size of an array [H, W, ...] as 'HxW'."""
  return f'{array.shape[0]}x{array.shape[1]}'
