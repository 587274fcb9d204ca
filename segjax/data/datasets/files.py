"""What data sets made of image and mask files share."""

import contextlib
import dataclasses
import functools

from etils import epath

from segjax.data import image
from segjax.data import proposals
from segjax.data.datasets import Dataset
from segjax.data.image import BadExample


@dataclasses.dataclass(frozen=True)
class Example:
  """An image file and its mask file."""

  name: str
  image: epath.Path
  mask: epath.Path


class Files(Dataset):
  """A split that reads one image and one mask for each example.

  Attributes:
    examples: what there is, in the order of the indices.
    channels: of every image; grey ones are repeated to it, alpha is dropped.
      By default those of the first one that can be read.
    proposals: how many regions to read for each example, from NAME.npz in the
      folder `proposals_folder`.
  """

  def __init__(
      self,
      split,
      examples,
      label_map,
      channels=None,
      *,
      proposals=0,
      proposals_folder='',
  ):
    self.split = split
    self.examples = tuple(examples)
    self.label_map = label_map
    self.proposals = proposals
    self._proposals_folder = epath.Path(proposals_folder)
    if proposals:
      check_exist([self._region_file(e) for e in self.examples])
    if channels:
      self.channels = channels

  def __len__(self):
    return len(self.examples)

  def __getitem__(self, index):
    example = self.examples[index]
    pixels = self.read_image(example)
    image.check_finite(pixels, example.image)
    label = self.read_label(example)
    if pixels.shape[:2] != label.shape:
      raise BadExample(
          f'{example.mask} is {_size(label)} but its image {example.image} is'
          f' {_size(pixels)} (height x width)'
      )
    features = {'image': pixels, 'label': label, 'name': example.name}
    if self.proposals:
      features['proposals'] = proposals.read(
          self._region_file(example), label.shape, self.proposals
      )
    return features

  @functools.cached_property
  def channels(self):
    for example in self.examples:
      with contextlib.suppress(BadExample):
        return image.read_image(example.image).shape[2]
    raise BadExample(f'none of the {len(self)} images can be read')

  def where(self, index):
    example = self.examples[index]
    return f'{example.image} and {example.mask}'

  def _region_file(self, example):
    return self._proposals_folder / f'{example.name}.npz'

  def read_image(self, example):
    """Returns the image of an example, [H, W, C]."""
    pixels = image.read_image(example.image)
    return image.with_channels(pixels, self.channels, example.image)

  def read_label(self, example):
    """Returns the train ids of an example, [H, W]."""
    mask = image.read_mask(example.mask, colors=self.label_map.color_coded)
    return self.label_map.apply(mask, example.mask)


def find(root, name, markers, about, inside=('',)):
  """Returns the folder of a set: `root` itself or `root/name`.

  Args:
    root: the data directory, or '' if none is known.
    name: of the set.
    markers: paths (or patterns) of which one is there if the set is.
    about: where to get the set and how it should lie, for the error.
    inside: folders in which the archives of the set unpack.
  """
  if not root:
    raise FileNotFoundError(
        f"data set '{name}': where? Set config.data_dir or the environment"
        f' variable SEGJAX_DATA_DIR.\n{about}'
    )
  folders = (epath.Path(root), epath.Path(root) / name)
  for folder in (top / part for top in folders for part in inside):
    if any(next(folder.glob(marker), None) for marker in markers):
      return folder
  raise FileNotFoundError(
      f"data set '{name}' is neither in {folders[0]} nor in {folders[1]}.\n"
      f'{about}'
  )


def check_split(name, split, splits):
  """Raises unless `split` is one of the `splits` of a set."""
  if split not in splits:
    raise ValueError(
        f"data set '{name}' has no split '{split}'; it has {', '.join(splits)}"
    )


def pair(images, masks, image_suffixes=image.SUFFIXES, mask_suffixes=None):
  """Returns the examples of two folders, an image to each mask by its name.

  The name is the path in the folder, less the suffix.

  Args:
    images: folder, searched with all folders in it.
    masks: the same for the masks; it may hold more than the images need.
    image_suffixes: ends of the files that are images.
    mask_suffixes: ends of the files that are masks; by default the same.
  """
  found = listing(images, image_suffixes)
  there = listing(masks, mask_suffixes or image_suffixes)
  lacking = [found[name] for name in found if name not in there]
  if lacking:
    raise FileNotFoundError(
        f'{len(lacking)} of {len(found)} images have no mask in {masks}, the'
        f' first is {lacking[0]}'
    )
  return [Example(name, path, there[name]) for name, path in found.items()]


def listed(path, images, masks):
  """Returns the examples whose names stand in a file, one to a line.

  Args:
    path: the file with the names.
    images: path of an image, with '*' for the name.
    masks: the same for the masks.
  """
  path = epath.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f'the list of examples {path} is missing')
  examples = [
      Example(
          name,
          *(epath.Path(str(p).replace('*', name)) for p in (images, masks)),
      )
      for name in path.read_text().split()
  ]
  if not examples:
    raise FileNotFoundError(f'the list of examples {path} is empty')
  check_exist([path for e in examples for path in (e.image, e.mask)])
  return examples


def check_exist(paths):
  """Raises if files are missing."""
  lacking = [path for path in paths if not path.is_file()]
  if lacking:
    raise FileNotFoundError(
        f'{len(lacking)} of {len(paths)} files are missing, the first is'
        f' {lacking[0]}'
    )


def listing(folder, suffixes):
  """Returns name -> file for all files under a folder, in order."""
  folder = epath.Path(folder)
  if not folder.is_dir():
    raise FileNotFoundError(f'the folder {folder} is missing')
  found = {}
  paths = (top / name for top, _, names in folder.walk() for name in names)
  for path in sorted(paths):
    suffix = next(
        (s for s in suffixes if path.name.lower().endswith(s.lower())), ''
    )
    if not suffix or path.name.startswith('.'):
      continue
    name = path.relative_to(folder).as_posix()[: -len(suffix)]
    if name in found:
      raise ValueError(f'two files for one example: {found[name]} and {path}')
    found[name] = path
  if not found:
    raise FileNotFoundError(
        f'the folder {folder} has no files that end with {", ".join(suffixes)}'
    )
  return found


def _size(array):
  return f'{array.shape[0]}x{array.shape[1]}'
