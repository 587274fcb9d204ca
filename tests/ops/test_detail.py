import jax
import numpy as np
import pytest

from segjax.ops.detail import detail_loss
from segjax.ops.detail import detail_target


def outline(label, i, j):
  """Whether the Laplacian at a pixel is positive, with zeros outside."""
  value = 8 * int(label[i, j])
  for m, n in np.ndindex(3, 3):
    y, x = i + m - 1, j + n - 1
    inside = 0 <= y < label.shape[0] and 0 <= x < label.shape[1]
    if (m, n) != (1, 1) and inside:
      value -= int(label[y, x])
  return value > 0


def draw_labels():
  rng = np.random.default_rng(0)
  labels = np.zeros((2, 9, 12), np.uint8)
  labels[0, 3:8, 2:7] = 2
  labels[0, 5:, 9:] = 255
  labels[1] = rng.integers(0, 3, (9, 12))
  return labels


def test_outlines_are_where_a_laplacian_is_positive_on_one_of_two_grids():
  labels = draw_labels()
  target = np.asarray(detail_target(labels))
  # Of 9 rows the grid with stride 2 has 5, of 12 columns 6.
  rows, columns = (2 * (np.arange(n) * -(-n // 2) // n) for n in (9, 12))
  for b, i, j in np.ndindex(*labels.shape):
    expected = outline(labels[b], i, j) or outline(
        labels[b], rows[i], columns[j]
    )
    assert target[b, i, j] == expected, (b, i, j)


def test_only_the_side_of_the_larger_number_is_an_outline():
  labels = np.zeros((1, 12, 12), np.uint8)
  labels[:, 3:10, 3:10] = 1
  target = detail_target(labels)[0]
  assert target[3, 6] == 1
  assert target[2, 6] == 0
  assert target[6, 6] == 0


@pytest.mark.parametrize('channels', [1, 2])
def test_losses_are_those_of_the_formula(channels):
  labels = draw_labels()
  rng = np.random.default_rng(1)
  logits = rng.normal(size=(*labels.shape, channels)).astype(np.float32)
  outlines = np.asarray(detail_target(labels), np.float64)
  truth = np.stack([1 - outlines, outlines][-channels:], -1)
  probs = 1 / (1 + np.exp(-np.float64(logits)))
  entropy = -np.log(np.where(truth == 1, probs, 1 - probs)).mean()
  dice = np.mean(
      [
          1 - 2 * (p * t).sum() / ((p * p).sum() + 1e-3 + (t * t).sum() + 1e-3)
          for p, t in zip(probs, truth, strict=True)
      ]
  )
  np.testing.assert_allclose(
      detail_loss(logits, labels), (entropy, dice), rtol=1e-5
  )


def test_extreme_scores_have_a_finite_gradient():
  labels = draw_labels()
  logits = np.full((*labels.shape, 2), 1e30, np.float32)
  gradient = jax.grad(lambda x: sum(detail_loss(x, labels)))(logits)
  assert np.isfinite(gradient).all()
