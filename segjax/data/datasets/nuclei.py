"""Nuclei in microscopy images: many small objects of one class, which touch."""

from segjax.data.datasets import files
from segjax.data.label_map import LabelMap

ABOUT = """\
Get images of nuclei, such as those of the 2018 Data Science Bowl (BBBC038), and
a map of objects for each. Expected: train/images/NAME.png and
train/instances/NAME.png, 8 or 16 bits, where 0 is the background and each
nucleus has a number, and the same for val."""

SPLITS = ('train', 'val')
LABEL_MAP = LabelMap(
    names=('background', 'nucleus'),
    colors=((0, 0, 0), (82, 156, 230)),
    ids={0: 0, 1: 1},
    things=(1,),
)


def load(split, root, *, instances=False, objects=400):
  """Loads the split 'train' or 'val'.

  Args:
    split: 'train' or 'val'.
    root: the data directory.
    instances: whether examples have `instances` [H, W] and their tables, see
      segjax/data/datasets/README.md; the label has the two classes in any case.
    objects: rows of these tables, the most nuclei that an image may have.
  """
  files.check_split('nuclei', split, SPLITS)
  root = files.find(root, 'nuclei', ('train/instances',), ABOUT)
  return files.ObjectFiles(
      split,
      files.pair(root / split / 'images', root / split / 'instances'),
      LABEL_MAP,
      channels=3,
      objects=objects if instances else 0,
      objects_folder=root / split / 'instances',
  )
