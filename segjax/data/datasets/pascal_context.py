"""PASCAL Context: 59 classes, or 60 with background, 4998 + 5105 images.

With 59 classes, as in most papers, background is ignored.
"""

import dataclasses

from segjax.data import label_map
from segjax.data.datasets import files
from segjax.data.label_map import IGNORE

ABOUT = """\
Get VOCtrainval_03-May-2010.tar at host.robots.ox.ac.uk/pascal/VOC/voc2010 and
trainval_merged.json at cs.stanford.edu/~roozbeh/pascal-context, of which
tools/dataset_converters/pascal_context.py of mmsegmentation makes the masks.
Expected: VOCdevkit/VOC2010 (or VOC2010) with JPEGImages,
SegmentationClassContext and ImageSets/SegmentationContext."""

SPLITS = ('train', 'val')


def load(split, root, num_classes=59):
  """Loads a split of PASCAL Context.

  Args:
    split: 'train' or 'val'.
    root: the data directory.
    num_classes: 59, or 60 to count background as a class.
  """
  files.check_split('pascal_context', split, SPLITS)
  if num_classes not in (59, 60):
    raise ValueError(f'pascal_context has 59 or 60 classes, not {num_classes}')
  root = files.find(
      root,
      'pascal_context',
      ('SegmentationClassContext',),
      ABOUT,
      inside=('VOCdevkit/VOC2010', 'VOC2010'),
  )
  examples = files.read_list(
      root / 'ImageSets/SegmentationContext' / f'{split}.txt',
      root / 'JPEGImages/*.jpg',
      root / 'SegmentationClassContext/*.png',
  )
  labels = label_map.read('pascal_context')
  if num_classes == 59:
    labels = _without_background(labels)
  return files.Files(split, examples, labels, channels=3)


def _without_background(labels):
  """Returns a label map in which background, class 0, is ignored."""
  return dataclasses.replace(
      labels,
      names=labels.names[1:],
      colors=labels.colors[1:],
      ids={i: i - 1 for i in range(1, 60)} | {0: IGNORE, IGNORE: IGNORE},
  )
