"""Oxford-IIIT Pet: pet, background and border, 3680 + 3669 photographs.

TensorFlow Datasets downloads the set and reads it; only this file needs it.
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
  """A split of the builder."""

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
  """Returns a split of Oxford-IIIT Pet, downloaded at the first use.

  Args:
    split: 'train', which the owners call trainval, or 'test'.
    root: the data directory; '' is the one TensorFlow Datasets chooses.
    border: whether the border of the pet is a class; otherwise it is ignored.
  """
  files.check_split('oxford_iiit_pet', split, SPLITS)
  import tensorflow_datasets as tfds  # Slow, and no other set needs it.

  try:
    source = tfds.data_source(
        'oxford_iiit_pet',
        split=split,
        data_dir=root or None,
        builder_kwargs={'file_format': 'array_record'},  # For random access.
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
