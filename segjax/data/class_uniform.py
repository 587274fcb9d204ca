"""Class-uniform sampling: rare classes are trained on as often as others.

A share of the examples is not taken in the order of the epoch: a class is drawn
uniformly, then a place where it occurs, and the crop is laid over that place.
It is part of the recipes of Gated-SCNN, SFNet and NVIDIA's hierarchical
multi-scale attention for Cityscapes. As in their code, a place is the centre of
mass of a class within a tile of the label map, which may lie beside the class.

Their code makes a list of each epoch with exact shares. Here each example draws
on its own, from the seed and its position in the sequence, so that a run can
go on at any step and the number of hosts changes nothing; the shares are those
of their lists on average.
"""

from collections.abc import Sequence
from typing import Any

import grain
import numpy as np

from segjax.data.image import BadExample
from segjax.runtime import hosts

TILE = 1024  # Rows and columns of a tile; a smaller image is one tile.


def class_centers(
    dataset: Any, *, tile: int = TILE, on_bad_example: str = 'raise'
) -> list[np.ndarray]:
  """Returns where each class occurs, a list of K arrays [N, 3] of int64.

  A row is the index of an example, and row and column of the centre of mass of
  the class in one tile of its label, rounded down. Tiles begin at the top left,
  and what is left over at the bottom and on the right is not looked at.

  Args:
    dataset: a `datasets.Dataset` of K classes.
    tile: rows and columns of a tile.
    on_bad_example: 'raise', or 'skip' to leave out unreadable examples.
  """
  num_classes = dataset.label_map.num_classes

  def of_example(i):
    try:
      return _centers(dataset[i]['label'], num_classes, tile)
    except BadExample:
      if on_bad_example == 'raise':
        raise
      return np.zeros((0, 3), np.int64)

  rows = grain.MapDataset.range(len(dataset)).map(of_example).to_iter_dataset()
  found = [[] for _ in range(num_classes)]
  for i, centers in enumerate(rows):
    for k, *place in centers:
      found[k].append((i, *place))
  return [np.array(places, np.int64).reshape(-1, 3) for places in found]


def _centers(label, num_classes, tile):
  """Returns rows (class, row, column), [N, 3], of the tiles of one label."""
  height, width = (min(side, tile) for side in label.shape)
  centers = []
  for top in range(0, label.shape[0] - height + 1, height):
    for left in range(0, label.shape[1] - width + 1, width):
      part = label[top : top + height, left : left + width]
      rows, columns = np.indices(part.shape)
      ids = np.minimum(part, num_classes).ravel()
      pixels, y, x = (
          np.bincount(ids, weights, num_classes + 1)[:num_classes]
          for weights in (None, rows.ravel(), columns.ravel())
      )
      classes = np.flatnonzero(pixels)
      pixels = pixels[classes]
      y, x = (y[classes] // pixels + top, x[classes] // pixels + left)
      centers.append(np.stack([classes, y, x], 1).astype(np.int64))
  return np.concatenate(centers)


class ClassUniform:
  """Says which places of the endless sequence of examples show which class."""

  def __init__(self, centers: Sequence[np.ndarray], share: float, seed: int):
    """Keeps the places.

    Args:
      centers: of each class, from `class_centers`. A class without any is never
        drawn.
      share: probability that an example is drawn by its class.
      seed: of the run.
    """
    self._centers = [places for places in centers if len(places)]
    self._share = share if self._centers else 0.0
    self._seed = seed

  def __call__(self, position: int) -> tuple[int, np.ndarray] | None:
    """Returns the example for a place of the sequence.

    Args:
      position: of the example in the sequence.

    Returns:
      Index of the example and (row, column) of its image, [2] float32; None
      for the example that the order of the epoch says.
    """
    rng = np.random.default_rng((self._seed, position))
    if rng.random() >= self._share:
      return None
    places = self._centers[rng.integers(len(self._centers))]
    index, *place = places[rng.integers(len(places))]
    return int(index), np.float32(place)


def create(
    share: float, dataset: Any, *, seed: int, on_bad_example: str = 'raise'
) -> ClassUniform | None:
  """Returns which examples are taken for a class that they show, or None.

  Every mask is read once, by one host for all.

  Args:
    share: of the examples that are taken so; 0 for none.
    dataset: a `datasets.Dataset`, which is trained on.
    seed: of the run.
    on_bad_example: see `class_centers`.

  Raises:
    ValueError: that is no share, or the classes overlap.
  """
  if not 0 <= share <= 1:
    raise ValueError(
        f'config.dataset.class_uniform={share} is a share of the examples, from'
        ' 0 to 1.'
    )
  if not share:
    return None
  if dataset.label_map.overlapping:
    raise ValueError(
        f'config.dataset.class_uniform={share} is for pixels of one class, and'
        ' the classes of the data set overlap: leave it at 0.'
    )
  centers = hosts.from_first(
      lambda: class_centers(dataset, on_bad_example=on_bad_example)
  )
  return ClassUniform(centers, share, seed)
