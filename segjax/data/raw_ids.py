"""Predictions in the raw ids of a data set, as its server takes them.

A run predicts train ids, 0, 1, ... Servers score the ids of their own masks, in
files of their own names: 7 for a road of Cityscapes, 1 for a wall of ADE20K.
"""

import dataclasses
import re

from etils import epath
import numpy as np

from segjax.data import datasets
from segjax.data import image as images
from segjax.data.label_map import LabelMap

# COCO counts images, and names their files by the number.
_COCO_NAME = re.compile(r'(?:COCO_\w+_)?(\d{12})')


@dataclasses.dataclass(frozen=True)
class RawIds:
  """How the predictions of a data set are written for its server.

  Attributes:
    ids: train id -> raw id.
    colors: train id -> RGB.
    file: name of the mask of an image in the folder of predictions, with
      '{name}' for the name of the image.
    instance_files: whether each object has a mask of its own, listed in
      NAME.txt, as Cityscapes asks it.
  """

  ids: tuple[int, ...]
  colors: tuple[tuple[int, int, int], ...]
  file: str = datasets.RESULT_FILE
  instance_files: bool = False

  def mask(self, name: str) -> str:
    """Returns the name of the mask of an image."""
    return self.file.format(name=name)

  def write(self, folder: epath.Path, name: str, labels: np.ndarray) -> None:
    """Writes the mask of an image: grey, with 16 bits where they are needed.

    It is indexed, with the colours of the classes, where the train ids are the
    raw ids.

    Args:
      folder: of the predictions.
      name: of the image.
      labels: train ids, [H, W].
    """
    path = folder / self.mask(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = self.colors if self.ids == tuple(range(len(self.ids))) else None
    images.write_png(path, self.apply(labels), palette=palette)

  def apply(self, labels: np.ndarray) -> np.ndarray:
    """Returns the raw ids of train ids [H, W], uint8 or uint16."""
    small = max(self.ids) < 256
    return np.array(self.ids, np.uint8 if small else np.uint16)[labels]

  @staticmethod
  def image_id(name: str) -> int | str:
    """Returns what a server calls an image: a number, if it is one of COCO's.

    Cityscapes names its images without the kind of the file.
    """
    if match := _COCO_NAME.fullmatch(name):
      return int(match[1])
    return name.removesuffix('_leftImg8bit')


def find(label_map: LabelMap, dataset: str) -> RawIds:
  """Returns how predictions of a run are written in raw ids.

  Args:
    label_map: of the run.
    dataset: name of its data set.

  Raises:
    ValueError: the classes have no raw ids.
  """
  layout = datasets.layout_of_results(dataset)
  return RawIds(label_map.raw_ids(), label_map.colors, **layout)
