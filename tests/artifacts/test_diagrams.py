import numpy as np
import pytest

from segjax.artifacts import diagrams

NAMES = ('sky', 'traffic light', 'road')


@pytest.mark.parametrize('count', [1, 2, 8, 30, 31, 171])
def test_a_confusion_matrix_of_any_size_can_be_drawn(count):
  names = [f'class {i}' for i in range(count)]
  matrix = np.random.default_rng(0).integers(10, size=(count, count))
  picture = diagrams.confusion(matrix, names)
  assert picture.dtype == np.uint8
  assert picture.ndim == 3
  assert 150 < picture.shape[0] == picture.shape[1] < 3000


def test_the_shade_of_a_confusion_is_the_share_of_its_row():
  matrix = np.array([[8, 0, 0], [5, 5, 0], [0, 0, 0]])
  picture = diagrams.confusion(matrix, NAMES)
  low, high = np.array(diagrams.RAMP)
  for color in (low, high, np.rint((low + high) / 2), diagrams.NO_DATA):
    assert (picture == color).all(-1).any()


@pytest.mark.parametrize(
    ('share', 'text'),
    [
        (0.0, ''),
        (0.001, '<1'),
        (0.01, '1'),
        (0.5, '50'),
        (0.999, '>99'),
        (1.0, '100'),
    ],
)
def test_a_percentage_never_rounds_to_none_or_all(share, text):
  assert diagrams._percent(share) == text


@pytest.mark.parametrize('shape', [(2, 2), (3, 2), (3,)])
def test_a_matrix_that_does_not_fit_the_names_is_refused(shape):
  with pytest.raises(ValueError, match=r'3 names ask for \(3, 3\) counts'):
    diagrams.confusion(np.zeros(shape), NAMES)


def test_bars_of_reliability_end_at_their_accuracy():
  counts = np.array([0, 5, 0, 20])
  accuracy = np.array([0.0, 0.25, 0.0, 1.0])
  confidence = np.array([0.0, 0.4, 0.0, 0.9])
  picture = diagrams.reliability(counts, confidence, accuracy, side=200)
  # Bars are blue: the columns of a bin, without marks, lines and text.
  blue = picture[..., 2].astype(int) - picture[..., 0] > 40
  heights = [blue[:, 44 + 50 * i + 10].sum() for i in range(4)]
  assert heights[0] == heights[2] == 0
  assert heights[1] == pytest.approx(50, abs=4)
  assert heights[3] == pytest.approx(200, abs=6)
