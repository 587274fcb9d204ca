"""PASCAL VOC 2012: 20 classes and background, 1464 + 1449 images.

'train_aug' has 10582 images: those of train, and those of SBD (Hariharan et
al., Semantic Contours from Inverse Detectors, 2011) that are neither in train
nor in val. SBD's masks have no ignored borders. Region proposals are read from
VOC2012/proposals.
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

# The server's layout for models that were trained on VOC alone. For others the
# folder is renamed to comp6_test_cls.
RESULTS = {
    'file': 'results/VOC2012/Segmentation/comp5_test_cls/{name}.png',
}


class _Voc(files.Files):
  """A split with PNG masks of VOC and MATLAB masks of SBD."""

  def read_label(self, example):
    if example.mask.suffix != '.mat':
      return super().read_label(example)
    try:
      mask = scipy.io.loadmat(example.mask)['GTcls']['Segmentation'][0, 0]
    except Exception as error:  # SciPy's reader raises errors of any type.
      raise BadExample(f'{example.mask}: damaged, {error!r}') from error
    return self.label_map.apply(mask, example.mask)


def load(split, root, *, proposals=0):
  """Loads a split of PASCAL VOC 2012.

  Args:
    split: one of `SPLITS`.
    root: the data directory.
    proposals: number of region proposals to read for each image.
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
    examples = _voc_examples(voc, 'train') + _sbd_examples(voc, root)
  else:
    examples = _voc_examples(voc, split)
  return _Voc(
      split,
      examples,
      label_map.read('voc2012'),
      channels=3,
      proposals=proposals,
      proposals_folder=voc / 'proposals',
  )


def _voc_examples(voc, split):
  """Returns the examples of one of VOC's own splits."""
  return files.read_list(
      voc / 'ImageSets/Segmentation' / f'{split}.txt',
      voc / 'JPEGImages/*.jpg',
      voc / 'SegmentationClass/*.png',
  )


def _sbd_examples(voc, root):
  """Returns the examples of SBD that are not in VOC's train or val."""
  sbd = files.find(
      root, 'voc2012', ('benchmark_RELEASE/dataset/cls',), ABOUT_SBD
  )
  masks = sbd / 'benchmark_RELEASE/dataset/cls'
  known = {
      e.name for part in ('train', 'val') for e in _voc_examples(voc, part)
  }
  examples = [
      files.Example(name, voc / 'JPEGImages' / f'{name}.jpg', mask)
      for name, mask in files.list_files(masks, ('.mat',)).items()
      if name not in known
  ]
  files.check_exist([path for e in examples for path in (e.image, e.mask)])
  return examples
