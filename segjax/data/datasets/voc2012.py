"""PASCAL VOC 2012: 20 classes and background, 1464 + 1449 images.

'train_aug' has 10582 images: those of train, and those of SBD (Hariharan et
al., Semantic Contours from Inverse Detectors, 2011) outside train and val. The
masks of SBD have no ignored borders. Proposals lie in VOC2012/proposals.
"""

import scipy.io

from segjax.data import label_map
from segjax.data.datasets import files
from segjax.data.image import BadExample

ABOUT = """\
Get VOCtrainval_11-May-2012.tar at host.robots.ox.ac.uk/pascal/VOC/voc2012.
Expected: VOCdevkit/VOC2012 (or VOC2012) with JPEGImages, SegmentationClass and
ImageSets/Segmentation."""

ABOUT_SBD = """\
The split train_aug needs SBD beside VOCdevkit: get benchmark.tgz at
home.bharathh.info/pubs/codes/SBD/download.html. Expected:
benchmark_RELEASE/dataset/cls/*.mat."""

SPLITS = ('train', 'val', 'trainval', 'train_aug')


class _Voc(files.Files):
  """VOC's PNG masks and SBD's MATLAB files."""

  def read_label(self, example):
    if example.mask.suffix != '.mat':
      return super().read_label(example)
    try:
      mask = scipy.io.loadmat(example.mask)['GTcls']['Segmentation'][0, 0]
    except Exception as error:  # SciPy's reader raises whatever it stumbles on.
      raise BadExample(f'{example.mask}: damaged, {error!r}') from error
    return self.label_map.apply(mask, example.mask)


def load(split, root, *, proposals=0):
  """Returns a split of PASCAL VOC 2012.

  Args:
    split: one of `SPLITS`.
    root: where it lies.
    proposals: how many of an image's proposals are read.
  """
  files.check_split('voc2012', split, SPLITS)
  voc = files.find(
      root,
      'voc2012',
      ('SegmentationClass',),
      ABOUT,
      inside=('VOCdevkit/VOC2012', 'VOC2012'),
  )
  if split == 'train_aug':
    examples = _listed(voc, 'train') + _sbd(voc, root)
  else:
    examples = _listed(voc, split)
  return _Voc(
      split,
      examples,
      label_map.read('voc2012'),
      channels=3,
      proposals=proposals,
      proposals_folder=voc / 'proposals',
  )


def _listed(voc, split):
  return files.listed(
      voc / 'ImageSets/Segmentation' / f'{split}.txt',
      voc / 'JPEGImages/*.jpg',
      voc / 'SegmentationClass/*.png',
  )


def _sbd(voc, root):
  """Returns the examples of SBD outside VOC's train and val."""
  sbd = files.find(
      root, 'voc2012', ('benchmark_RELEASE/dataset/cls',), ABOUT_SBD
  )
  masks = sbd / 'benchmark_RELEASE/dataset/cls'
  fine = {e.name for part in ('train', 'val') for e in _listed(voc, part)}
  examples = [
      files.Example(name, voc / 'JPEGImages' / f'{name}.jpg', mask)
      for name, mask in files.listing(masks, ('.mat',)).items()
      if name not in fine
  ]
  files.check_exist([path for e in examples for path in (e.image, e.mask)])
  return examples
