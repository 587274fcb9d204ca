import numpy as np

from segjax.ops import directions as ops


def test_an_angle_is_of_the_nearest_direction():
  # To the right, down, to the left, up, and halfway between two.
  angle = np.float32([0, 90, 180, -180, -90, 22.5, 23, -157.5, -157, 157.5])
  labels = ops.direction_labels(angle, np.ones(angle.shape, bool))
  assert labels.tolist() == [4, 6, 0, 0, 2, 4, 5, 0, 1, 7]


def test_steps_go_where_the_angles_of_their_directions_point():
  for direction, (row, column) in enumerate(ops.STEPS):
    angle = np.float32([np.degrees(np.arctan2(row, column))])
    assert ops.direction_labels(angle, True)[0] == direction


def test_labels_are_taken_from_further_inside():
  values = np.arange(20).reshape(4, 5)
  labels = np.zeros((4, 5), int)
  labels[1, 1] = 1 + 4  # To the right.
  labels[0, 4] = 1 + 7  # To the lower left.
  labels[3, 0] = 1 + 6  # Down, beyond the image.
  found = ops.look_up(values, labels, 2.0)
  expected = values.copy()
  expected[1, 1] = values[1, 3]
  expected[0, 4] = values[2, 2]
  np.testing.assert_array_equal(found, expected)
  probabilities = np.stack([values, -values], -1)
  np.testing.assert_array_equal(
      ops.look_up(probabilities, labels, 2.0), np.stack([found, -found], -1)
  )
