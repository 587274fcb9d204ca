"""ISBI 2012 EM: membranes in 30 electron microscopy slices of 512x512.

The labels of the challenge's test slices are not public. Here the labelled
stack is divided: slices 0 to 23 are train and 24 to 29 are val.
"""

import io

import numpy as np
import tifffile

from segjax.data.datasets import Dataset
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.data.label_map import LabelMap

ABOUT = """\
Get the training data of the ISBI 2012 challenge, Segmentation of neuronal
structures in EM stacks, at imagej.net. Expected: train-volume.tif and
train-labels.tif, stacks of 30 slices; or train/images, train/masks, val/images
and val/masks with a file a slice."""

SLICES = {'all': range(30), 'train': range(24), 'val': range(24, 30)}
FOLDERS = {'all': ('train', 'val'), 'train': ('train',), 'val': ('val',)}

LABEL_MAP = LabelMap(
    names=('membrane', 'cell'),
    colors=((0, 0, 0), (255, 255, 255)),
    ids={0: 0, 255: 1},
    boundary_class=0,
)


class _Slices(Dataset):
  """A split that holds the slices of the labelled stack in memory."""

  label_map = LABEL_MAP

  def __init__(self, split, root):
    self.split = split
    self._masks_path = root / 'train-labels.tif'
    self._images = _read_stack(root / 'train-volume.tif')
    self._masks = _read_stack(self._masks_path)
    if self._images.shape != self._masks.shape:
      raise BadExample(
          f'{self._masks_path} is {self._masks.shape}, but the images are'
          f' {self._images.shape}'
      )

  def __len__(self):
    return len(SLICES[self.split])

  def __getitem__(self, index):
    i = SLICES[self.split][index]
    where = f'{self._masks_path}, slice {i}'
    return {
        'image': self._images[i][:, :, None],
        'label': self.label_map.apply(self._masks[i], where),
        'name': f'{i:03d}',
    }


def load(split, root):
  """Loads a split of the labelled stack."""
  files.check_split('isbi2012', split, SLICES)
  markers = ('train-volume.tif', 'train/images')
  root = files.find(root, 'isbi2012', markers, ABOUT)
  if (root / markers[0]).exists():
    return _Slices(split, root)
  examples = []
  for part in FOLDERS[split]:
    examples += files.pair(root / part / 'images', root / part / 'masks')
  return files.Files(split, examples, LABEL_MAP, channels=1)


def _read_stack(path):
  """Reads the 30 pages of a TIFF file, [30, H, W]."""
  try:
    with tifffile.TiffFile(io.BytesIO(path.read_bytes())) as stack:
      pages = [page.asarray(maxworkers=1) for page in stack.pages]
  except Exception as error:  # tifffile raises errors of any type.
    raise BadExample(f'{path}: damaged or missing, {error}') from error
  if len(pages) != 30:
    raise BadExample(f'{path}: a stack of 30 slices, this has {len(pages)}')
  return np.stack(pages)
