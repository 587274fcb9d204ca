import numpy as np
import pytest

from segjax.data import statistics
from segjax.data.image import BadExample

# Two images, two classes; the second image has two ignored pixels.
COUNTS = np.array([[3, 1, 0], [0, 2, 2]])


class TwoImages:
  """Labels in memory; the second example is bad when asked for."""

  class label_map:  # noqa: N801
    num_classes = 2

  def __init__(self, bad=False):
    self.bad = bad

  def __len__(self):
    return 2

  def __getitem__(self, i):
    if i and self.bad:
      raise BadExample('b.png: damaged')
    labels = [[0, 0], [0, 1]], [[1, 255], [255, 1]]
    return {'label': np.array(labels[i], np.uint8)}


def test_counts_have_a_row_for_each_image_and_ignored_pixels_last():
  np.testing.assert_array_equal(statistics.class_counts(TwoImages()), COUNTS)


def test_bad_examples_raise_or_count_nothing():
  with pytest.raises(BadExample, match='b.png'):
    statistics.class_counts(TwoImages(bad=True))
  counts = statistics.class_counts(TwoImages(bad=True), on_bad_example='skip')
  np.testing.assert_array_equal(counts, [[3, 1, 0], [0, 0, 0]])
