"""Draws some examples of a data set with their labels."""

from etils import epath
import numpy as np

from segjax.artifacts import pictures
from segjax.data import image
from segjax.data import object_statistics
from segjax.data.image import BadExample
from segjax.doctor.examples import LOADERS

DRAWN = 8  # Examples of a split that are drawn.
NAME = 50  # Letters of the name of an example in that of its picture.


def check_new(folder: epath.PathLike) -> None:
  """Raises FileExistsError if a folder for pictures has files."""
  if epath.Path(folder).exists() and any(epath.Path(folder).iterdir()):
    raise FileExistsError(
        f'{folder} has files, which are not touched: give a new folder as'
        ' --pictures'
    )


def draw(config, folder: epath.PathLike) -> str:
  """Draws examples of both splits, evenly spread, with their labels.

  Args:
    config: of the run.
    folder: where to write; files that are there stay as they are.

  Returns:
    Where the pictures are, as a sentence.

  Raises:
    FileExistsError: the folder has files.
  """
  folder = epath.Path(folder)
  check_new(folder)
  folder.mkdir(parents=True, exist_ok=True)
  taken = set()
  for role, load in LOADERS.items():
    try:
      dataset = load(config)
    except (OSError, ValueError):
      continue  # The report has named it.
    count = min(DRAWN, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).astype(int).tolist():
      try:
        example = dataset[index]
      except BadExample:
        continue  # As above.
      # The end of a path; another one may have it, too.
      name = f'{role}_{example["name"].replace("/", "_")[-NAME:]}'
      name = f'{name}_{index}' if name in taken else name
      taken.add(name)
      picture = _picture(example, dataset.label_map)
      image.write_png(folder / f'{name}.png', picture)
  return f'{len(taken)} pictures are in {folder}.'


def _picture(example, labels):
  """Returns an example with its classes and, if it has any, its objects."""
  shown = pictures.displayable(example['image'])
  if labels.overlapping:
    return pictures.mixed_overlay(shown, example['label'], labels)
  ids = object_statistics.map_of(example)
  if ids is None:
    return pictures.overlay(shown, example['label'], labels)
  objects = object_statistics.measure(example)
  drawn = pictures.objects(
      shown,
      [ids == one.number for one in objects],
      [
          labels.names[one.kind] + (' (group)' if one.crowd else '')
          for one in objects
      ],
      [
          pictures.shade(labels.colors[one.kind], one.number).tolist()
          for one in objects
      ],
  )
  colors = pictures.overlay(shown, example['label'], labels, legend=False)
  page = pictures.beside(shown, colors, drawn)
  return pictures.add_legend(page, example['label'], labels)
