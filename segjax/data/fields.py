"""The fields of an example, and how each kind of field moves with the image.

An example is a dict of arrays. A transform, padding, batching or the layout on
devices looks up the kind of a field here and needs to know nothing else about
it. A new field is one row of `FIELDS`, whatever reads or derives it, and the
task or model that uses it.
"""

from collections.abc import Iterable
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Kind:
  """How fields of one kind move.

  Attributes:
    name: of the kind.
    spatial: whether the first two axes are the rows and columns of the image;
      other fields stay as they are when pixels move, unless they are points.
    points: whether values are positions in the image.
    angles: whether values are directions in the image, in degrees.
    linear: whether values are interpolated; other values are picked from the
      nearest pixel.
    outside: value of the pixels beyond the border.
    shape: the axes behind rows and columns, or all axes of a field that is not
      spatial, in a placeholder; see `placeholders`.
  """

  name: str
  spatial: bool
  linear: bool = False
  outside: int = 0
  shape: tuple[int, ...] = ()
  points: bool = False
  angles: bool = False


IMAGE = Kind('image', spatial=True, linear=True)  # [H, W, C].
MASK = Kind('mask', spatial=True, outside=255)  # Class ids [H, W].
IDS = Kind('ids', spatial=True)  # Numbers of objects [H, W], 0 for none.
STACK = Kind('stack', spatial=True, shape=(1,))  # N masks, [H, W, N].
MAP = Kind('map', spatial=True, linear=True)  # Numbers [H, W] or [H, W, C].
# Directions in degrees, -180 to 180, 0 to the right and 90 down, [H, W].
ANGLE = Kind('angle', spatial=True, angles=True)
TABLE = Kind('table', spatial=False, shape=(1,))  # N entries, [N] or [N, ...].
# N boxes y0 x0 y1 x1 in pixels, [N, 4], which are derived after all moves.
BOXES = Kind('boxes', spatial=False, shape=(1, 4))
# N positions (row, column), [N, 2]; the centre of the first pixel is (0, 0).
POINTS = Kind('points', spatial=False, shape=(1, 2), points=True)


@dataclasses.dataclass(frozen=True)
class Field:
  """What is known of a field.

  Attributes:
    kind: how it moves.
    dtype: of its values in a batch.
    source: what to do so that examples have it, a sentence for errors.
  """

  kind: Kind
  dtype: type
  source: str


OBJECTS = (
    'Set config.dataset.options.instances to True; which data sets have objects'
    ' is told in segjax/data/datasets/README.md.'
)
BOUNDS = 'Add objects to config.preprocess.train.'
CENTERS = 'Add centers to config.preprocess.train.'
DIRECTIONS = 'Add directions to config.preprocess.train.'
FIELDS = {
    'image': Field(IMAGE, np.float32, 'Every data set has images.'),
    'label': Field(MASK, np.uint8, 'Every data set that is scored has labels.'),
    # What each pixel counts in the loss.
    'weight': Field(
        MAP, np.float32, 'Add border_weights to config.preprocess.train.'
    ),
    # Which object a pixel is of; by object, its class and whether it is a group
    # of objects. See `segjax.tasks.panoptic`.
    'instances': Field(IDS, np.int32, OBJECTS),
    'instance_classes': Field(TABLE, np.uint8, OBJECTS),
    'instance_crowds': Field(TABLE, np.uint8, OBJECTS),
    # Where the object of each row lies, and whether there is one to learn from.
    'instance_boxes': Field(BOXES, np.float32, BOUNDS),
    'instance_valid': Field(TABLE, np.uint8, BOUNDS),
    # Where the crop is to be laid, one position; crops take it out.
    'anchor': Field(
        POINTS, np.float32, 'Give config.dataset.class_uniform a share.'
    ),
    # A heat map of the centres of objects, and the way there from each pixel.
    'centers': Field(MAP, np.float32, CENTERS),
    'offsets': Field(MAP, np.float32, CENTERS),
    # How far a pixel is from the outline of its class, 255 where nobody knows,
    # and the direction away from there.
    'distance': Field(MASK, np.uint8, DIRECTIONS),
    'angle': Field(ANGLE, np.float32, DIRECTIONS),
    # A mask that is to be refined, 0 to 1.
    'coarse_mask': Field(
        MAP,
        np.float32,
        'Add perturbed_masks to config.preprocess.train and fixed_masks to'
        ' config.preprocess.eval.',
    ),
    # Edges of the image by Canny's method, 255 on them and 0 elsewhere.
    'canny': Field(
        MAP,
        np.float32,
        'Add canny to config.preprocess.train and config.preprocess.eval.',
    ),
    # Region proposals, and what they show; see `segjax.data.proposals`.
    'proposals': Field(
        STACK,
        np.uint8,
        'Say how many there are, as in --config.dataset.options.proposals=16;'
        ' where they lie is told in segjax/data/datasets/README.md.',
    ),
    'categories': Field(
        TABLE, np.uint8, 'Add label_proposals to config.preprocess.train.'
    ),
    'overlaps': Field(
        TABLE, np.float32, 'Add label_proposals to config.preprocess.train.'
    ),
}
# Fields that tell what is to be predicted: evaluation leaves them as they are
# read, at their own size.
TRUTH = ('label', 'instances')


def kind(name: str) -> Kind | None:
  """Returns the kind of a field, or None of an entry that is no field."""
  return FIELDS[name].kind if name in FIELDS else None


def is_spatial(name: str) -> bool:
  """Tells whether the first axes of a field are rows and columns."""
  return name in FIELDS and FIELDS[name].kind.spatial


def mirrored(name: str, values: np.ndarray) -> np.ndarray:
  """Returns the values of a field that was mirrored, left to right.

  They are the same but for directions, which point to the other side.

  Args:
    name: of the field.
    values: whose pixels have been moved.
  """
  known = kind(name)
  if known is None or not known.angles:
    return values
  return np.where(values < 0, -180, 180).astype(values.dtype) - values


def check(names: Iterable[str], example, reader: str) -> None:
  """Raises ValueError if an example or batch lacks fields that are read.

  Args:
    names: of the fields.
    example: dict of what there is.
    reader: who reads them, for the error.
  """
  for name in names:
    if name in FIELDS and name not in example:
      raise ValueError(
          f'{reader} reads the field {name}, which the examples lack.'
          f' {FIELDS[name].source}'
      )


def placeholders(
    names: Iterable[str], image_shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
  """Returns a batch of zeros, to learn the shapes of a model's variables.

  Args:
    names: the fields that the model reads. 'progress', the share of the run
      that is done, is a single number.
    image_shape: [B, H, W, C] of the images.
  """
  batch = {}
  for name in names:
    if name == 'progress':
      batch[name] = np.zeros((), np.float32)
      continue
    field = FIELDS[name]
    shape = image_shape[3:] if name == 'image' else field.kind.shape
    sides = image_shape[1:3] if field.kind.spatial else ()
    batch[name] = np.zeros((image_shape[0], *sides, *shape), field.dtype)
  return batch
