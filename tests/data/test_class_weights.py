import numpy as np

from segjax.data import class_weights

# Two images, two classes; the second image has two ignored pixels.
COUNTS = np.array([[3, 1, 0], [0, 2, 2]])


def test_median_frequency_counts_only_images_in_which_a_class_occurs():
  # Class 0 has 3 of 4 pixels, class 1 has 3 of 4 + 2: the median is 5 / 8.
  weights = class_weights.median_frequency(COUNTS)
  np.testing.assert_allclose(weights, [5 / 8 * 4 / 3, 5 / 8 * 6 / 3])


def test_inverse_log_leaves_ignored_pixels_out():
  weights = class_weights.inverse_log(COUNTS)
  np.testing.assert_allclose(weights, [1 / np.log(1.52)] * 2)


def test_class_that_never_occurs_changes_no_other_weight():
  counts = np.insert(COUNTS, 1, 0, axis=1)
  median, inverse = class_weights.median_frequency, class_weights.inverse_log
  np.testing.assert_allclose(median(counts)[[0, 2]], median(COUNTS))
  np.testing.assert_allclose(inverse(counts)[[0, 2]], inverse(COUNTS))
  assert median(counts)[1] == 0


def test_camvid_gets_the_known_weights():
  # Shares of SegNet's train split in the order of its ids, unlabelled last,
  # and 1 / ln(1.02 + p) with p the share among the labelled pixels.
  shares = (
      *(0.1685, 0.2326, 0.0098, 0.3166, 0.0449, 0.0972),
      *(0.0117, 0.0113, 0.0587, 0.0064, 0.0029, 0.0395),
  )
  known = (
      *(5.603, 4.295, 33.574, 3.335, 15.486, 8.739),
      *(31.542, 32.012, 12.829, 38.014, 43.907),
  )
  counts = np.rint(np.array([shares]) * 1e4).astype(int)
  np.testing.assert_allclose(
      class_weights.inverse_log(counts), known, rtol=3e-3
  )
