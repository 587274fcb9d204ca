"""All ops at once: image and fields still show the same thing afterwards."""

import inspect
import pathlib
import re

import cv2
import numpy as np
import pytest

from segjax.data import fields
from segjax.data import transforms
from segjax.data.transforms import color

# Every op, as it moves or changes an example in any case.
SPECS = {
    'bgr': 'bgr',
    'blur': 'blur(1.0)',
    'border_weights': 'border_weights',
    'canny': 'canny',
    'centers': 'centers',
    'clahe': 'clahe(1.0)',
    'class_balanced_crop': 'class_balanced_crop(40, 50)',
    'copy_paste': 'copy_paste(1.0)',
    'cut_border': 'cut_border(1.0, 9)',
    'cutmix': 'cutmix(1.0)',
    'cutout': 'cutout(1.0)',
    'directions': 'directions',
    'elastic': 'elastic(1.0, sigma=4.0)',
    'fixed_masks': 'fixed_masks(0.9)',
    'flip': 'flip(1.0)',
    'gamma': 'gamma(1.0)',
    'grid_distortion': 'grid_distortion(1.0)',
    'label_proposals': 'label_proposals',
    'mosaic': 'mosaic(1.0)',
    'normalize': 'normalize',
    'object_crop': 'object_crop(40, 50)',
    'objects': 'objects(9)',
    'pad': 'pad(90, 120)',
    'perturbed_masks': 'perturbed_masks(0.9)',
    'photometric': 'photometric',
    'random_crop': 'random_crop(40, 50)',
    'random_scale': 'random_scale(0.5, 2.0)',
    'random_short': 'random_short((50, 90), 200)',
    'resize': 'resize(57, 91)',
    'rotate': 'rotate(1.0, degrees=30.0)',
}
# Ops whose label tells no more than whether a pixel is of the class chosen.
MASKS = ('fixed_masks', 'perturbed_masks')
GREYS = np.array([40, 100, 160, 220])  # Of the classes 0 to 3.
ROWS = 8  # For objects.


def example(seed):
  """Blocks of classes, each an object, in an image of the greys of classes.

  All fields follow from the block of a pixel, so they can be compared.
  """
  rng = np.random.default_rng(seed)
  classes = rng.integers(4, size=(3, 4))
  classes[rng.integers(3), rng.integers(4)] = 3
  label = np.kron(classes, np.ones((24, 24), int)).astype(np.uint8)
  number = np.zeros(12, int)
  things = np.flatnonzero(classes.ravel() > 1)[:ROWS]
  number[things] = 1 + np.arange(len(things))
  blocks = np.kron(np.arange(12).reshape(3, 4), np.ones((24, 24), int))
  table = np.full(ROWS, 255, np.uint8)
  table[: len(things)] = classes.ravel()[things]
  ids = number[blocks].astype(np.int32)
  label[(label > 1) & (ids == 0)] = 255
  return {
      'image': np.repeat(
          np.uint8(GREYS[np.minimum(label, 3)])[..., None], 3, 2
      ),
      'label': label,
      'weight': GREYS[np.minimum(label, 3)].astype(np.float32),
      'instances': ids,
      'instance_classes': table,
      'instance_crowds': np.zeros(ROWS, np.uint8),
      'proposals': np.uint8(label[..., None] == np.arange(4)),
      'name': f'{seed}',
  }


def run(spec, seed, features=None):
  draws = np.random.default_rng(seed)
  return transforms.apply(
      transforms.fuse(transforms.parse(spec)),
      example(seed) if features is None else features,
      draws,
      draw=lambda rng: example(int(rng.integers(100, 200))),
  )


def inner(label, pixels=4):
  """Returns the pixels all of whose neighbours are of their class, [H, W]."""
  wide = cv2.copyMakeBorder(
      label, *4 * [pixels], cv2.BORDER_CONSTANT, value=254
  )
  box = np.ones(2 * [2 * pixels + 1], np.uint8)
  same = cv2.dilate(wide, box) == cv2.erode(wide, box)
  return same[pixels:-pixels, pixels:-pixels] & (label < 4)


def check(features):
  """Asserts that all fields of an example say the same."""
  label, ids = features['label'], features['instances']
  sure = inner(label)
  assert sure.mean() > 0.05
  for name in ('image', 'weight'):
    values = features[name] if name == 'weight' else features[name][..., 0]
    assert values.shape == label.shape
    wrong = np.abs(values - GREYS[np.minimum(label, 3)])[sure] > 1
    assert wrong.mean() < 0.01, name
  # Each object has its class, and each pixel of such a class is of an object.
  # OpenCV rounds integers and floats differently, so a few pixels between two
  # blocks may be picked from one or the other.
  table = features['instance_classes']
  assert table.shape == (ROWS,)
  of_object = np.append(0, table)[ids]
  wrong = (of_object != label) & (ids > 0) & (label != 255)
  wrong |= (ids == 0) & (label > 1) & (label < 4)
  assert not wrong[sure].any()
  assert wrong.mean() < 5e-3
  shown = (features['proposals'] > 0) & sure[..., None]
  assert shown.any()
  for k in range(shown.shape[2]):
    assert len(np.unique(label[shown[..., k]])) <= 1


def test_every_op_has_its_line():
  assert SPECS.keys() == transforms.OPS.keys()


MOVING = sorted(
    SPECS.keys()
    - {'bgr', 'blur', 'canny', 'clahe', 'cutout', 'gamma', 'photometric'}
    - {'normalize', 'border_weights', 'centers', 'object_crop', 'objects'}
    - {*MASKS, 'directions', 'label_proposals'}
)


@pytest.mark.parametrize('op', MOVING)
def test_what_moves_pixels_moves_all_fields(op):
  changed = 0
  for seed in range(6):
    after = run(SPECS[op], seed)
    check(after)
    changed += not np.array_equal(after['label'], example(seed)['label'])
  assert changed > 2
  # One after another, with boxes and targets made of what is there then.
  after = run(f'{SPECS[op]}|flip(1.0)|objects({ROWS})|directions', 3)
  check(after)
  for i, box in enumerate(after['instance_boxes'].astype(int)):
    at = np.argwhere(after['instances'] == 1 + i)
    if at.size:
      np.testing.assert_array_equal(box, [*at.min(0), *at.max(0) + 1])
    else:
      assert not box.any()
  assert after['distance'].shape == after['angle'].shape == after['label'].shape


@pytest.mark.parametrize('op', sorted(SPECS.keys() - set(MOVING)))
def test_what_moves_no_pixels_leaves_all_fields_but_its_own(op):
  features = example(1)
  if op == 'object_crop':
    features = {k: features[k] for k in ('image', 'label', 'name')}
    after = run(SPECS[op], 1, features)
    sure = inner(after['label'])
    values = after['image'][..., 0].astype(int)
    assert (values == GREYS[np.minimum(after['label'], 3)])[sure].mean() > 0.9
    return
  if op == 'border_weights':
    del features['weight']
  after = run(SPECS[op], 1, features)
  (kind,) = transforms.parse(SPECS[op])
  own = {'image', *getattr(kind, 'derives', ())}
  if op in MASKS:
    own.add('label')
  if op == 'objects':
    own.update(name for name in features if name.startswith('instance'))
  for name in features.keys() - own:
    np.testing.assert_array_equal(after[name], features[name])
  for name in filter(fields.is_spatial, own & after.keys()):
    assert after[name].shape[:2] == features['label'].shape
  assert own <= after.keys()


def table():
  """Returns the lines of the table of all ops, made of the ops themselves."""
  lines = []
  for name, op in sorted(transforms.OPS.items()):
    options = ', '.join(
        p.name if p.default is p.empty else f'{p.name}={_short(p.default)}'
        for p in inspect.signature(op).parameters.values()
    )
    first = re.split(r'\.(?:\s|$)', inspect.getdoc(op))[0]
    call = f'{name}({options})' if options else name
    lines.append(f'| `{call}` | {" ".join(first.split())}. |')
  return lines


def _short(value):
  known = {
      color.IMAGENET_MEAN: 'IMAGENET_MEAN',
      color.IMAGENET_STD: 'IMAGENET_STD',
  }
  return known.get(value) or repr(value)


def test_the_readme_lists_all_ops_with_their_options():
  readme = pathlib.Path(transforms.__file__).with_name('README.md').read_text()
  lines = [line for line in readme.splitlines() if line.startswith('| `')]
  assert lines == table(), 'The table should be:\n' + '\n'.join(table())
