"""COCO-Stuff 164k: 80 things and 91 kinds of stuff, 118287 + 5000 images.

Raw ids go up to 181, and 11 of them are not used. Some pairs of classes have
the same colour.
"""

from segjax.data import label_map
from segjax.data.datasets import files

ABOUT = """\
Get train2017.zip, val2017.zip and stuffthingmaps_trainval2017.zip as
github.com/nightrome/cocostuff says. Expected: images/train2017/*.jpg,
annotations/train2017/*.png, and the same for val2017."""

SPLITS = {'train': 'train2017', 'val': 'val2017'}


def load(split, root):
  """Loads a split of COCO-Stuff."""
  files.check_split('coco_stuff', split, SPLITS)
  markers = ('annotations/train2017', 'annotations/val2017')
  root = files.find(root, 'coco_stuff', markers, ABOUT)
  examples = files.pair(
      root / 'images' / SPLITS[split],
      root / 'annotations' / SPLITS[split],
      image_suffixes=('.jpg',),
      mask_suffixes=('.png',),
  )
  return files.Files(split, examples, label_map.read('coco_stuff'), channels=3)
