import numpy as np
import pytest

from segjax.data import directions
from segjax.data import fields
from segjax.data import transforms


def disk(size=(40, 44), center=(19, 21), radius=12):
  rows, columns = np.indices(size)
  inside = np.hypot(rows - center[0], columns - center[1]) <= radius
  return inside.astype(np.uint8)


def test_the_distance_is_to_the_nearest_pixel_of_another_class():
  label = disk((24, 26), (11, 12), 7)
  label[:3, :4] = 255
  depth, _ = directions.depth_and_gradient(label, min_area=1)
  for row, column in ((11, 12), (5, 9), (20, 20), (4, 4), (23, 0)):
    others = np.argwhere(label != label[row, column])
    nearest = np.hypot(*(others - (row, column)).T).min()
    np.testing.assert_allclose(depth[row, column], nearest, rtol=1e-6)
  assert (depth[label == 255] == 0).all()


def test_angles_point_to_the_middle_of_a_disk():
  label = disk()
  distance, angle = directions.distance_and_angle(label)
  rows, columns = np.indices(label.shape)
  away = np.degrees(np.arctan2(19 - rows, 21 - columns))
  ring = (label == 1) & (distance >= 2) & (distance <= 6)
  turned = (angle - away + 180) % 360 - 180
  assert np.abs(turned[ring]).max() < 12


def test_small_classes_are_left_out():
  label = np.zeros((30, 30), np.uint8)
  label[10:15, 10:15] = 1
  distance, angle = directions.distance_and_angle(label, min_area=26)
  assert (distance[label == 1] == 0).all()
  assert (angle[label == 1] == 0).all()
  distance, _ = directions.distance_and_angle(label, min_area=25)
  assert distance[12, 12] == 3


def test_an_image_of_one_class_has_no_outline():
  distance, _ = directions.distance_and_angle(np.ones((20, 30), np.uint8))
  assert (distance == directions.FARTHEST).all()


def test_a_mirrored_image_has_mirrored_angles():
  label = disk(center=(15, 14))
  image = np.zeros((*label.shape, 3), np.uint8)
  features = {'image': image, 'label': label}
  flip = transforms.parse('flip(1.0)')
  before, after = (
      transforms.apply(ops, features, np.random.default_rng(0))
      for ops in (
          (*transforms.parse('directions'), *flip),
          (*flip, *transforms.parse('directions')),
      )
  )
  np.testing.assert_array_equal(before['distance'], after['distance'])
  turned = (before['angle'] - after['angle'] + 180) % 360 - 180
  # Each is rounded down to an even number on its own side, and the middle of
  # the disk has no direction.
  ring = (after['label'] == 1) & (after['distance'] < 9)
  assert np.abs(turned[ring]).max() <= 2


def test_right_and_left_change_places():
  angle = np.float32([0, 180, -180, 90, -90, 30, -150])
  mirrored = fields.mirrored('angle', angle)
  assert mirrored.tolist() == [180, 0, 0, 90, -90, 150, -30]
  np.testing.assert_array_equal(fields.mirrored('distance', angle), angle)


def test_a_crop_behind_it_keeps_outlines_beyond_and_pads_with_255():
  label = np.zeros((20, 40), np.uint8)
  label[:, 20:] = 1
  features = {'image': np.zeros((20, 40, 3), np.uint8), 'label': label}
  ops = transforms.parse('directions|random_crop(24, 8)|pad(24, 8)')
  cropped = transforms.apply(ops, features, np.random.default_rng(3))
  distance = cropped['distance']
  assert distance.shape == (24, 8)
  assert (distance[20:] == 255).all()
  assert (cropped['label'][20:] == 255).all()
  steps = np.diff(distance[0].astype(int))
  assert set(np.abs(steps)) <= {0, 1}
  assert distance[0].max() > 8  # Which no outline within the crop explains.


def test_what_changes_distances_comes_before():
  for op in ('resize(32)', 'random_scale', 'rotate', 'elastic'):
    with pytest.raises(ValueError, match='must come before directions'):
      transforms.parse(f'directions|{op}')
