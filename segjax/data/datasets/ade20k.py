"""ADE20K SceneParse150: 150 classes, 20210 training and 2000 validation images.

The classes road and skyscraper have the same colour.
"""

from segjax.data import label_map
from segjax.data.datasets import files

ABOUT = """\
Get ADEChallengeData2016.zip at sceneparsing.csail.mit.edu. Expected:
ADEChallengeData2016/images/training/*.jpg, .../annotations/training/*.png, and
the same for validation."""

SPLITS = {'train': 'training', 'val': 'validation'}


def load(split, root):
  """Loads a split of ADE20K."""
  files.check_split('ade20k', split, SPLITS)
  root = files.find(
      root,
      'ade20k',
      ('annotations/training', 'annotations/validation'),
      ABOUT,
      inside=('ADEChallengeData2016', ''),
  )
  examples = files.pair(
      root / 'images' / SPLITS[split],
      root / 'annotations' / SPLITS[split],
      image_suffixes=('.jpg',),
      mask_suffixes=('.png',),
  )
  return files.Files(split, examples, label_map.read('ade20k'), channels=3)
