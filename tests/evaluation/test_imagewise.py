import numpy as np
import pytest

from segjax.evaluation import imagewise
from segjax.evaluation import semantic


def make_counts():
  """Counts of two images and two classes; the second has no pixel in one."""
  return np.array([[[3, 1, 2, 4], [0, 0, 0, 10]], [[1, 1, 0, 8], [2, 2, 4, 2]]])


def test_pixels_are_counted_for_each_class_against_all_others():
  label = np.array([[0, 0, 1], [2, 2, 255]])
  prediction = np.array([[0, 1, 1], [2, 0, 0]])
  counts = imagewise.class_counts(prediction, label, 3)
  assert counts.tolist() == [[1, 1, 1, 2], [1, 1, 0, 3], [1, 0, 1, 3]]
  labels = np.arange(3)
  valid = label != 255
  by_label = imagewise.label_counts(
      (prediction[valid][None, :, None] == labels),
      (label[valid][None, :, None] == labels),
  )
  np.testing.assert_array_equal(by_label, counts)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(mean='none'), [[3 / 6, 1], [1 / 2, 2 / 8]]),
        (dict(mean='none', empty=0.0), [[3 / 6, 0], [1 / 2, 2 / 8]]),
        (dict(mean='micro'), 6 / 16),
        (dict(mean='micro', imagewise=True), (3 / 6 + 3 / 10) / 2),
        (dict(mean='macro'), (4 / 8 + 2 / 8) / 2),
        (dict(mean='macro', imagewise=True), (0.5 + 0.625) / 2),
        (
            dict(mean='weighted', class_weights=(3, 1)),
            0.75 * 4 / 8 + 0.25 * 2 / 8,
        ),
        (
            dict(mean='weighted', class_weights=(3, 1), imagewise=True),
            (0.75 * 0.5 + 0.25 * 0.625) / 2,
        ),
    ],
)
def test_means_are_over_the_set_or_over_images(options, expected):
  result = imagewise.score(make_counts(), 'iou', **options)
  np.testing.assert_allclose(result, expected)


def test_scores_of_the_set_are_those_of_the_confusion_matrix():
  rng = np.random.default_rng(0)
  label, prediction = rng.integers(0, 4, (2, 3, 5, 6))
  counts = np.stack(
      [
          imagewise.class_counts(p, t, 4)
          for p, t in zip(prediction, label, strict=True)
      ]
  )
  scores = semantic.scores(semantic.confusion(prediction, label, 4))
  for name, other in (('iou', 'mIoU'), ('f1', 'dice')):
    np.testing.assert_allclose(imagewise.score(counts, name), scores[other])


def test_other_scores_and_means_are_refused():
  with pytest.raises(ValueError, match="'dice'. Known: iou, f1"):
    imagewise.score(make_counts(), 'dice')
  with pytest.raises(ValueError, match="'sum'. Known: none, micro"):
    imagewise.score(make_counts(), 'iou', 'sum')
