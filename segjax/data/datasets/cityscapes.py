"""Cityscapes: 19 classes, street scenes of 2048x1024 from 50 cities.

Fine labels for 2975 + 500 images (those of 1525 test images are blank), coarse
ones for 19998 more, 'train_extra'.
"""

from segjax.data import label_map
from segjax.data.datasets import files

ABOUT = """\
Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip (for train_extra
leftImg8bit_trainextra.zip and gtCoarse.zip) at www.cityscapes-dataset.com.
Expected: leftImg8bit/train/CITY/*_leftImg8bit.png and
gtFine/train/CITY/*_gtFine_labelIds.png."""

SPLITS = {
    'train': 'gtFine',
    'val': 'gtFine',
    'test': 'gtFine',
    'train_extra': 'gtCoarse',
}


def load(split, root):
  """Returns a split of Cityscapes."""
  files.check_split('cityscapes', split, SPLITS)
  root = files.find(root, 'cityscapes', ('leftImg8bit',), ABOUT)
  kind = SPLITS[split]
  examples = files.pair(
      root / 'leftImg8bit' / split,
      root / kind / split,
      image_suffixes=('_leftImg8bit.png',),
      mask_suffixes=(f'_{kind}_labelIds.png',),
  )
  labels = label_map.read('cityscapes')
  return files.Files(split, examples, labels, channels=3)
