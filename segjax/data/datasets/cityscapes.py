"""Cityscapes: 19 classes, street scenes of 2048x1024 from 50 cities.

2975 training and 500 validation images have fine labels; the labels of the 1525
test images are blank. 'train_extra' has 19998 more images with coarse labels.
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

RESULTS = {'instance_files': True}


def load(split, root):
  """Loads a split of Cityscapes."""
  files.check_split('cityscapes', split, SPLITS)
  root = files.find(root, 'cityscapes', ('leftImg8bit',), ABOUT)
  folder = SPLITS[split]
  examples = files.pair(
      root / 'leftImg8bit' / split,
      root / folder / split,
      image_suffixes=('_leftImg8bit.png',),
      mask_suffixes=(f'_{folder}_labelIds.png',),
  )
  labels = label_map.read('cityscapes')
  return files.Files(split, examples, labels, channels=3)
