import functools

import jax
import numpy as np
import pytest

from segjax.losses.binary_cross_entropy import binary_cross_entropy
from segjax.losses.rmi import rmi

loss = jax.jit(rmi, static_argnames=('radius', 'pool', 'ridge', 'ignore'))


def cells(x, side):
  """Means over cells of a map [H, W], of which zeros lie around."""
  border = side // 2
  height, width = ((n + 2 * border) // side for n in x.shape)
  padded = np.pad(x, border)
  y = np.zeros((height, width))
  for i, j in np.ndindex(height, width):
    y[i, j] = padded[
        i * side : (i + 1) * side, j * side : (j + 1) * side
    ].mean()
  return y


def vectors(x, side):
  """All regions of a map [h, w], centred: [side^2, N]."""
  height, width = (n - side + 1 for n in x.shape)
  rows = [
      x[i : i + side, j : j + side].ravel()
      for i, j in np.ndindex(height, width)
  ]
  return np.transpose(rows) - np.mean(rows, 0)[:, None]


def reference(logits, labels, radius, pool):
  """The loss by its formula, in float64."""
  total, images = 0.0, 0
  for image, label in zip(np.float64(logits), labels, strict=True):
    valid = label != 255
    if not valid.any():
      continue
    images += 1
    for k in range(image.shape[-1]):
      p = vectors(cells(valid / (1 + np.exp(-image[..., k])), pool), radius)
      y = vectors(cells(np.float64(label == k), pool), radius)
      ridge = 5e-4 * np.eye(radius**2)
      rest = y @ y.T + ridge
      rest -= y @ p.T @ np.linalg.inv(p @ p.T + ridge) @ p @ y.T
      total += 0.5 * np.linalg.slogdet(rest)[1] / radius**2
  return total / images


def draw_smooth():
  """Labels with large areas, and logits whose edges are soft."""
  rows, columns = np.mgrid[:45, :61]
  distance = np.stack(
      [8 - np.hypot(rows - 15 - 6 * i, columns - 20 - 20 * i) for i in (0, 1)]
  )
  labels = (distance > 0).astype(np.uint8)
  labels[1, :, -9:] = 255
  logits = np.stack([-distance, distance], -1).astype(np.float32) / 4
  return logits, labels


@pytest.mark.parametrize(('radius', 'pool'), [(3, 4), (2, 3), (3, 1)])
def test_loss_equals_the_formula_in_float64(radius, pool):
  logits, labels = draw_smooth()
  np.testing.assert_allclose(
      loss(logits, labels, radius=radius, pool=pool),
      reference(logits, labels, radius, pool),
      rtol=1e-4,
  )


def test_following_the_gradient_makes_edges_sharper():
  logits, labels = draw_smooth()
  value, gradient = jax.jit(jax.value_and_grad(rmi))(logits, labels)
  assert np.isfinite(gradient).all()
  assert loss(logits - 10 * gradient, labels) < value - 0.01
  sharp = np.where(labels[..., None] == np.arange(2), 20, -20)
  assert loss(np.float32(sharp), labels) < value - 0.5


def test_an_ignored_image_is_not_in_the_mean():
  logits, labels = draw_smooth()
  ignored = np.stack([labels[0], np.full_like(labels[1], 255)])
  np.testing.assert_allclose(
      loss(logits, ignored), loss(logits[:1], labels[:1]), rtol=1e-5
  )


def test_an_image_without_a_region_is_refused():
  jax.eval_shape(rmi, np.zeros((1, 8, 8, 2)), np.zeros((1, 8, 8), int))
  with pytest.raises(ValueError, match='at least 8 x 8 pixels, and .* 8 x 7'):
    jax.eval_shape(rmi, np.zeros((1, 8, 7, 2)), np.zeros((1, 8, 7), int))


def test_cross_entropy_may_be_a_sum_over_classes(logits, labels):
  valid = (labels != 255).sum()
  mean = binary_cross_entropy(logits, labels)
  summed = functools.partial(binary_cross_entropy, average=False)
  np.testing.assert_allclose(summed(logits, labels), 4 * mean, rtol=1e-6)
  np.testing.assert_allclose(
      summed(logits, labels, extra_pixels=1.0),
      4 * mean * valid / (valid + 1),
      rtol=1e-6,
  )
