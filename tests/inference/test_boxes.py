import jax.numpy as jnp
import numpy as np
import pytest

from segjax.inference import boxes as box_inference
from segjax.ops.resize import resize

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(20, 30, 3)).astype(np.float32)
PIXEL = RNG.normal(size=(3, 5)).astype(np.float32)
BOXES = [[2, 3, 12, 17], [8, 10, 19, 29], [0, 20, 7, 30], [5, 5, 6, 7]]


def forward(images):
  """Scores of a pixel depend on it, on where it is, and on all others."""
  ramp = np.linspace(-1, 1, images.shape[2])[:, None]
  mean = images.mean((1, 2), keepdims=True)
  return (images + 3 * mean) @ PIXEL + ramp * np.arange(5)


def bilinear(x, size):
  return np.asarray(resize(jnp.asarray(x)[None], size)[0])


def naive(image, boxes, size, enlarge):
  """The definition, box by box and pixel by pixel."""
  height, width, channels = image.shape
  scores = np.zeros((height, width, 5))
  for y0, x0, y1, x1 in boxes:
    y, x = (y0 + y1) / 2, (x0 + x1) / 2
    rows, columns = enlarge * (y1 - y0) / 2, enlarge * (x1 - x0) / 2
    top, bottom = (int(np.floor(y + s * rows + 0.5)) for s in (-1, 1))
    left, right = (int(np.floor(x + s * columns + 0.5)) for s in (-1, 1))
    crop = np.zeros((bottom - top, right - left, channels), np.float32)
    inside = [
        (i, j)
        for i in range(bottom - top)
        for j in range(right - left)
        if 0 <= top + i < height and 0 <= left + j < width
    ]
    for i, j in inside:
      crop[i, j] = image[top + i, left + j]
    found = forward(bilinear(crop, (size, size))[None])[0]
    found = bilinear(found, crop.shape[:2])
    for i, j in inside:
      for k in range(5):
        place = top + i, left + j, k
        scores[place] = max(scores[place], found[i, j, k])
  return scores


@pytest.mark.parametrize('batch_size', [1, 3, 8])
@pytest.mark.parametrize('enlarge', [1.0, 1.2, 2.5])
def test_scores_are_the_greatest_over_boxes(batch_size, enlarge):
  scores = box_inference.segment(
      forward, IMAGE, BOXES, size=16, enlarge=enlarge, batch_size=batch_size
  )
  expected = naive(IMAGE, BOXES, 16, enlarge)
  np.testing.assert_allclose(scores, expected, atol=1e-4)
  assert scores.min() == 0


def test_where_no_box_is_scores_are_zero():
  scores = box_inference.segment(
      forward, IMAGE, [[2, 3, 8, 9]], size=16, enlarge=1
  )
  inside = np.zeros((20, 30), bool)
  inside[2:8, 3:9] = True
  assert scores[inside].any()
  assert not scores[~inside].any()


def test_the_first_boxes_that_are_large_enough_are_chosen():
  boxes = [[0, 0, 50, 9], [0, 0, 10, 10], [0, 0, 9, 50], [0, 0, 20, 30]]
  chosen = box_inference.choose(boxes, count=2, least=10)
  np.testing.assert_array_equal(chosen, [boxes[1], boxes[3]])
  assert len(box_inference.choose(boxes, count=1, least=10)) == 1
  assert box_inference.choose([], least=1).shape == (0, 4)


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        (np.zeros((0, 4)), 'one at least'),
        ([[0, 0, 5]], r'must be \[N, 4\]'),
        ([[0, 0, 5, 5], [3, 3, 3, 9]], 'has no pixel'),
        ([[0, 0, 5, np.nan]], 'has no pixel'),
    ],
)
def test_wrong_boxes_are_refused(boxes, message):
  with pytest.raises(ValueError, match=message):
    box_inference.segment(forward, IMAGE, boxes, size=16)
