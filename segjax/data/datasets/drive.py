"""DRIVE: blood vessels in 20 + 20 photographs of the retina, 565x584.

The truth is the first grader's. Published numbers are over the whole frame or
inside the field of view alone, and are not comparable.
"""

from segjax.data import image
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap

ABOUT = """\
Get DRIVE at drive.grand-challenge.org. Expected: training/images/
21_training.tif, training/1st_manual/21_manual1.gif, training/mask/
21_training_mask.gif and the same for test; or train/images, train/masks and
train/fov with equal names."""

SPLITS = {'train': 'training', 'test': 'test'}

LABEL_MAP = LabelMap(
    names=('background', 'vessel'),
    colors=((0, 0, 0), (255, 255, 255)),
    ids={0: 0, 255: 1},
    color_coded=True,  # GIF is indexed, in an order of its own.
)


class _InsideFieldOfView(files.Files):
  """Ignores what lies outside the round field of view."""

  def __init__(self, split, examples, fovs):
    super().__init__(split, examples, LABEL_MAP, channels=3)
    self._fovs = fovs

  def read_label(self, example):
    label = super().read_label(example)
    path = self._fovs[example.name]
    inside = LABEL_MAP.apply(image.read_mask(path, colors=True), path)
    if inside.shape != label.shape:
      raise BadExample(
          f'{path} is {inside.shape} but {example.mask} is {label.shape}'
      )
    label[inside == 0] = IGNORE
    return label


def load(split, root, fov=False):
  """Returns a split of DRIVE.

  Args:
    split: 'train' or 'test'.
    root: the data directory.
    fov: only pixels inside the field of view count, the others are ignored.
  """
  files.check_split('drive', split, SPLITS)
  markers = ('training/images', 'test/1st_manual', 'train/images')
  root = files.find(root, 'drive', markers, ABOUT)
  own = root / SPLITS[split]
  if (own / '1st_manual').exists():
    images, masks, fovs = (own / p for p in ('images', '1st_manual', 'mask'))
    ends = (f'_{own.name}.tif',), ('_manual1.gif',), (f'_{own.name}_mask.gif',)
  else:
    images, masks, fovs = (root / split / p for p in ('images', 'masks', 'fov'))
    ends = (image.SUFFIXES,) * 3
  examples = files.pair(images, masks, ends[0], ends[1])
  if not fov:
    return files.Files(split, examples, LABEL_MAP, channels=3)
  fields = files.pair(images, fovs, ends[0], ends[2])
  return _InsideFieldOfView(split, examples, {e.name: e.mask for e in fields})
