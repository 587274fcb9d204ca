"""What a report tells of runs, and of the images that they predict."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import numpy as np


@dataclasses.dataclass
class Run:
  """What the page tells of a run.

  Attributes:
    name: short, unlike those of the other runs.
    path: of the workdir.
    fields: {field: value} of the config, flattened.
    versions: {package: version}.
    starts: facts of each start of the run.
    curves: {name: {step: value}}.
    best: name of the score that the best checkpoint is chosen by.
    classes: names of the classes.
    colors: RGB of the classes.
    split: data set and split that the scores are of.
    ground: number that runs have in common if their images and truth are the
      same ones.
    step: of the checkpoint that the scores are of, or None.
    scores: {name: value}; NaN where there is none.
    confusion: [K, K], rows are the truth, or None.
    matrix: its picture as a data URI, for more than `CELLS` classes.
    counted: how scores were counted, {what: text}.
    images: {name of an image: its score}.
    notes: what the reader should know, in sentences.
  """

  name: str
  path: str
  fields: Mapping
  versions: Mapping[str, str]
  starts: Sequence[Mapping]
  curves: Mapping[str, Mapping[int, float | None]]
  best: str
  classes: Sequence[str] = ()
  colors: Sequence[tuple[int, int, int]] = ()
  split: str = ''
  ground: int = 0
  step: int | None = None
  scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
  confusion: np.ndarray | None = None
  matrix: str = ''
  counted: Mapping[str, str] = dataclasses.field(default_factory=dict)
  images: Mapping[str, float] = dataclasses.field(default_factory=dict)
  notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Example:
  """An image of the split with what runs predict for it.

  Attributes:
    key: of the image, unlike those of other images; see `image_key`.
    name: of the image.
    image: as a data URI, and so are the others.
    label: the truth.
    predictions: {index of a run: (picture, score)}.
  """

  key: str
  name: str
  image: str = ''
  label: str = ''
  predictions: dict[int, tuple[str, float]] = dataclasses.field(
      default_factory=dict
  )


def image_key(run: Run, name: str) -> str:
  """Returns what tells an image of a run from those of other data sets."""
  return f'{run.ground}/{name}'


def grounds(
    runs: Sequence[Run],
) -> Iterator[list[tuple[int, Run]]]:
  """Yields the scored runs of the same classes together, with their numbers."""
  found = {}
  for i, run in enumerate(runs):
    if run.scores:
      found.setdefault((run.ground, tuple(run.classes)), []).append((i, run))
  yield from found.values()
