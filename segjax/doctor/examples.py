"""Reads every example of a split, and keeps what problems are found in."""

import dataclasses
import hashlib

import grain
import numpy as np

from segjax import experiment
from segjax.data import datasets
from segjax.data import image
from segjax.data import object_statistics
from segjax.data import statistics
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.runtime import progress

# What is looked at: the examples of training and of evaluation.
LOADERS = {
    'train': experiment.train_dataset,
    'eval': experiment.eval_dataset,
}


@dataclasses.dataclass(frozen=True)
class Good:
  """Properties of an example that could be read."""

  name: str
  size: tuple[int, int]
  channels: int
  dtype: str
  pixels: np.ndarray  # Pixels of each class, [K + 1], as in `statistics`.
  digest: bytes  # Hash of the decoded image.
  finite: bool  # Whether all values of the image are finite.
  orientations: tuple[int, int]  # Of image and mask by EXIF; 1 is upright.
  objects: list[object_statistics.Object] | None  # None if it cannot have any.
  astray: dict[int, float]  # See `files.Files.compare_objects`.
  lost: int  # Objects of the map that are none of the example, see there.


@dataclasses.dataclass(frozen=True)
class Bad:
  """Why an example could not be used."""

  message: str
  zero_and_255: bool  # Whether its mask has only the values 0 and 255.


@dataclasses.dataclass
class Split:
  """The examples of a split, as far as they could be read."""

  role: str  # 'train' or 'eval'.
  dataset: datasets.Dataset
  good: list[Good]
  bad: list[Bad]

  @property
  def title(self):
    """Names the split in reports."""
    return f'{self.role} split {self.dataset.split!r}'

  @property
  def objects(self):
    """All objects of readable examples."""
    return [one for g in self.good for one in g.objects or ()]

  @property
  def counts(self):
    """Pixels of each class in each readable example, [N, K + 1]."""
    width = self.dataset.label_map.num_classes + 1
    return np.array([g.pixels for g in self.good], int).reshape(-1, width)


def read(role: str, dataset: datasets.Dataset) -> Split:
  """Examines all examples of a split, and shows progress.

  Args:
    role: 'train' or 'eval'.
    dataset: the split.
  """
  indices = grain.MapDataset.range(len(dataset))
  examined = indices.map(lambda i: _examine(dataset, i)).to_iter_dataset()
  title = f'Reading {role} split {dataset.split!r}'
  examples = list(progress.track(examined, len(dataset), title))
  good = [e for e in examples if isinstance(e, Good)]
  bad = [e for e in examples if isinstance(e, Bad)]
  return Split(role, dataset, good, bad)


def _examine(dataset, index):
  """Reads an example; returns `Good` or `Bad`."""
  try:
    example = dataset[index]
  except BadExample as error:
    return Bad(str(error), _is_zero_and_255(dataset, index))
  pixels = np.ascontiguousarray(example['image'])
  has_objects = object_statistics.map_of(example) is not None
  astray, lost = {}, 0
  if has_objects and isinstance(dataset, files.Files):
    astray, lost = dataset.compare_objects(index)
  return Good(
      name=example['name'],
      size=pixels.shape[:2],
      channels=pixels.shape[2],
      dtype=str(pixels.dtype),
      pixels=statistics.pixel_counts(
          example['label'], dataset.label_map.num_classes
      ),
      digest=hashlib.blake2b(pixels, digest_size=16).digest(),
      finite=bool(np.isfinite(pixels).all()),
      orientations=_orientations(dataset, index),
      objects=object_statistics.measure(example) if has_objects else None,
      astray=astray,
      lost=lost,
  )


def _orientations(dataset, index):
  """Returns how the files of an image and of its mask say they are turned."""
  dataset, index = dataset.origin(index)
  if not isinstance(dataset, files.Files):
    return 1, 1
  example = dataset.examples[index]
  turned = image.read_orientation(example.image)
  if example.mask is None:
    return turned, 1
  return turned, image.read_orientation(example.mask)


def _is_zero_and_255(dataset, index):
  """Tells whether the mask file of an example has only the values 0 and 255."""
  dataset, index = dataset.origin(index)
  if not isinstance(dataset, files.Files):
    return False
  path = dataset.examples[index].mask
  if path is None:
    return False
  try:
    mask = image.read_mask(path)
  except BadExample:
    return False
  return set(np.unique(mask)) == {0, 255}
