"""DRIVE: blood vessels in 20 + 20 photographs of the retina, 565x584.

Labels are the first grader's. Some papers score the whole frame and others only
the pixels inside the round field of view; these scores are not comparable.
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
    color_coded=True,  # The indices of a GIF's palette are arbitrary.
)


class _InsideFieldOfView(files.Files):
  """A split in which pixels outside the field of view are ignored."""

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
  """Loads a split of DRIVE.

  Args:
    split: 'train' or 'test'.
    root: the data directory.
    fov: whether pixels outside the field of view are ignored.
  """
  files.check_split('drive', split, SPLITS)
  markers = ('training/images', 'test/1st_manual', 'train/images')
  root = files.find(root, 'drive', markers, ABOUT)
  original = root / SPLITS[split]
  if (original / '1st_manual').exists():
    images, masks, fovs = (
        original / folder for folder in ('images', '1st_manual', 'mask')
    )
    ends = (
        (f'_{original.name}.tif',),
        ('_manual1.gif',),
        (f'_{original.name}_mask.gif',),
    )
  else:
    images, masks, fovs = (root / split / p for p in ('images', 'masks', 'fov'))
    ends = (image.SUFFIXES,) * 3
  examples = files.pair(images, masks, ends[0], ends[1])
  if not fov:
    return files.Files(split, examples, LABEL_MAP, channels=3)
  fields = files.pair(images, fovs, ends[0], ends[2])
  return _InsideFieldOfView(split, examples, {e.name: e.mask for e in fields})
