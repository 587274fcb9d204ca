"""Oxford-IIIT Pet: pet, background and border, 3680 + 3669 photographs.

TensorFlow Datasets downloads and reads it; nothing else in segjax needs that.
"""

from segjax.data.datasets import Dataset
from segjax.data.datasets import files
from segjax.data.image import BadExample
from segjax.data.label_map import IGNORE
from segjax.data.label_map import LabelMap

ABOUT = """\
TensorFlow Datasets downloads oxford_iiit_pet from www.robots.ox.ac.uk/~vgg/
data/pets; on a machine without network, copy the folder oxford_iiit_pet that it
made elsewhere into the data directory."""

SPLITS = ('train', 'test')

NAMES = ('pet', 'background', 'border')
COLORS = ((228, 87, 86), (70, 74, 82), (237, 210, 72))


class _Pets(Dataset):
  """A split that is read by TensorFlow Datasets."""

  def __init__(self, split, source, label_map):
    self.split = split
    self.label_map = label_map
    self._source = source

  def __len__(self):
    return len(self._source)

  def __getitem__(self, index):
    example = self._source[index]
    name = example['file_name'].decode()
    mask = example['segmentation_mask'][:, :, 0]
    if mask.shape != example['image'].shape[:2]:
      raise BadExample(
          f'{name}: the mask is {mask.shape}, the image'
          f' {example["image"].shape}'
      )
    return {
        'image': example['image'],
        'label': self.label_map.apply(mask, name),
        'name': name.rpartition('.')[0],
    }


def load(split, root, border=True):
  """Loads a split of Oxford-IIIT Pet, and downloads it at the first use.

  Args:
    split: 'train', called trainval in the original, or 'test'.
    root: the data directory; '' is TensorFlow Datasets' default.
    border: whether the border of the pet is a class; else it is ignored.
  """
  files.check_split('oxford_iiit_pet', split, SPLITS)
  # This import is slow, and no other data set needs it.
  import tensorflow_datasets as tfds

  try:
    source = tfds.data_source(
        'oxford_iiit_pet',
        split=split,
        data_dir=root or None,
        # This format has random access.
        builder_kwargs={'file_format': 'array_record'},
    )
  except OSError as error:
    raise FileNotFoundError(f'{ABOUT}\n{error}') from error
  count = 3 if border else 2
  label_map = LabelMap(
      names=NAMES[:count],
      colors=COLORS[:count],
      ids={1: 0, 2: 1, 3: 2 if border else IGNORE},
  )
  return _Pets(split, source, label_map)
