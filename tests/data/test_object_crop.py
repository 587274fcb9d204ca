import numpy as np
import pytest

from segjax.data import boxes
from segjax.data import transforms
from segjax.data.label_map import IGNORE

# Two objects of class 1, one of class 2, an ignored pixel in the first.
LABEL = np.zeros((40, 60), np.uint8)
LABEL[4:14, 5:25] = 1
LABEL[8, 8] = IGNORE
LABEL[20:36, 2:12] = 1
LABEL[10:30, 30:50] = 2
# Where a pixel is from: its row, its column.
IMAGE = np.stack(np.indices(LABEL.shape), -1).astype(np.float32) + 1
TIGHT = {(4, 5): (14, 25), (20, 2): (36, 12), (10, 30): (30, 50)}


def crops(spec, label=LABEL, count=40):
  ops = transforms.parse(spec)
  for seed in range(count):
    features = {'image': IMAGE, 'label': label, 'name': 'a'}
    yield transforms.apply(ops, features, np.random.default_rng(seed))


def test_each_object_is_seen_alone_and_as_often_as_another():
  seen = []
  for crop in crops('object_crop(32, enlarge=1.0)', count=60):
    assert crop['image'].shape == (32, 32, 2)
    assert crop['label'].shape == (32, 32)
    top, left = np.rint(crop['image'][0, 0]).astype(int) - 1
    seen.append((top, left))
    (one,) = set(np.unique(crop['label'])) - {0, IGNORE}
    assert one == (2 if (top, left) == (10, 30) else 1)
    assert (crop['label'] == IGNORE).any() == ((top, left) == (4, 5))
  assert set(seen) == set(TIGHT)
  assert min(seen.count(corner) for corner in TIGHT) > 10


def test_another_object_in_the_box_becomes_background():
  label = LABEL.copy()
  label[20:25, 35:40] = 1  # Within the one of class 2.
  for crop in crops('object_crop(20, enlarge=1.0)', label):
    classes = set(np.unique(crop['label'])) - {IGNORE}
    assert classes <= {0, 1} or classes <= {0, 2}


def test_a_larger_box_shows_what_surrounds_the_object():
  for crop in crops('object_crop(32, enlarge=1.5)'):
    outside = (crop['image'] == 0).all(-1)
    assert (crop['label'][outside] == IGNORE).all()
    share = np.mean((crop['label'] == 1) | (crop['label'] == 2))
    assert abs(share - 1 / 1.5**2) < 0.06


def test_a_box_that_overlaps_keeps_the_label():
  (op,) = transforms.parse('object_crop(32, overlap=0.5)')
  tight = np.array([10, 30, 30, 50])
  rng = np.random.default_rng(0)
  drawn = [op._draw(tight, rng) for _ in range(200)]
  overlaps = [boxes.overlap(box, tight) for box in drawn]
  assert min(overlaps) >= 0.5
  assert np.mean(overlaps) < 0.8
  label = LABEL.copy()
  label[20:25, 35:40] = 1
  both = [
      {1, 2} <= set(np.unique(crop['label']))
      for crop in crops('object_crop(32, overlap=0.5)', label)
  ]
  assert any(both)


def test_an_image_without_an_object_is_taken_whole():
  (crop,) = crops('object_crop(40, 60)', 0 * LABEL, count=1)
  np.testing.assert_array_equal(crop['image'], IMAGE)
  np.testing.assert_array_equal(crop['label'], 0 * LABEL)


@pytest.mark.parametrize(
    'spec',
    [
        'object_crop(0)',
        'object_crop(8, enlarge=0.0)',
        'object_crop(8, overlap=2.0)',
    ],
)
def test_wrong_fields_are_refused(spec):
  with pytest.raises(ValueError, match='object_crop'):
    transforms.parse(spec)


def test_regions_are_refused():
  features = {
      'image': np.zeros((*LABEL.shape, 3), np.uint8),
      'label': LABEL,
      'proposals': np.ones((*LABEL.shape, 2), np.uint8),
  }
  with pytest.raises(
      ValueError, match='image and label alone; leave proposals out'
  ):
    transforms.apply(
        transforms.parse('object_crop(16)'), features, np.random.default_rng(0)
    )
