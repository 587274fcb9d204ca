import itertools

import jax
import numpy as np

from segjax import parallel
from segjax.ops import dual_task

CLASSES = 4
RANDOM = np.random.default_rng(0)


def make_labels():
  """Two images with blocks of classes, ignored pixels, and a single pixel."""
  labels = np.zeros((2, 9, 11), np.uint8)
  labels[0, 2:6, 3:8] = 2
  labels[0, 7:, 8:] = 255
  labels[1] = 1
  labels[1, 4, 5] = 3
  labels[1, :2, :4] = 255
  return labels


def near_another_kind(label, radius):
  """Pixel by pixel; beyond the image is class 0, and so are ignored pixels."""
  height, width = label.shape
  kinds = np.zeros((height + 2 * radius, width + 2 * radius), int)
  inside = kinds[radius:-radius, radius:-radius]
  inside[:] = np.where(label < CLASSES, label, 0)
  edges = np.zeros(label.shape, bool)
  reach = range(-radius, radius + 1)
  for row, column in np.ndindex(*label.shape):
    edges[row, column] = any(
        kinds[row + radius + y, column + radius + x] != inside[row, column]
        for y, x in itertools.product(reach, reach)
        if y * y + x * x <= radius * radius
    )
  return edges


def test_edges_are_where_another_class_is_within_the_radius():
  labels = make_labels()
  for radius in (1, 2):
    edges = dual_task.class_edges(labels, CLASSES, radius)
    for label, found in zip(labels, edges, strict=True):
      np.testing.assert_array_equal(found, near_another_kind(label, radius))


def test_ignored_pixels_have_no_edge_to_class_0_and_one_to_others():
  label = np.zeros((1, 8, 12), np.uint8)
  label[:, :, 6:] = 255
  assert not dual_task.class_edges(label, CLASSES).any()
  label[label == 0] = 1
  edges = dual_task.class_edges(label, CLASSES)[0, 4]
  assert list(np.flatnonzero(edges)) == [0, 1, 4, 5, 6, 7]


def test_edges_count_as_much_as_the_rest():
  edges = np.zeros((1, 4, 5), bool)
  edges[0, 0, :2] = True
  scores = RANDOM.normal(size=(1, 4, 5, 1)).astype(np.float32)
  total = 0.0
  for score, edge in zip(scores.ravel(), edges.ravel(), strict=True):
    total += (0.9 if edge else 0.1) * np.log1p(
        np.exp(-score if edge else score)
    )
  np.testing.assert_allclose(
      dual_task.edge_loss(scores, edges), total / 20, rtol=1e-5
  )


def test_right_and_certain_classes_cost_nothing():
  labels = make_labels()
  known = np.where(labels == 255, 0, labels)
  logits = 50 * np.eye(CLASSES, dtype=np.float32)[known]
  # Ignored pixels are class 0 in the truth, and undecided here.
  loss = dual_task.dual_task_loss(logits, known, 0.0)
  np.testing.assert_allclose(loss, 0, atol=1e-6)
  assert dual_task.dual_task_loss(logits, labels, 0.0) > 0.01


def test_the_mean_over_devices_is_the_loss_of_the_batch():
  labels = make_labels()
  logits = RANDOM.normal(size=(2, 9, 11, CLASSES)).astype(np.float32)
  noise = dual_task.gumbel(RANDOM.uniform(size=logits.shape))
  scores = RANDOM.uniform(size=(2, 9, 11, 1)).astype(np.float32)

  def losses(logits, scores, labels, noise):
    edges = dual_task.class_edges(labels, CLASSES)
    return dual_task.dual_task_loss(
        logits, labels, noise
    ) + dual_task.edge_loss(scores, edges)

  value = jax.value_and_grad(losses, (0, 1))
  given = logits, scores, labels, noise.astype(np.float32)
  expected, gradient = jax.jit(value)(*given)
  values, gradients = jax.pmap(value, parallel.AXIS, devices=jax.devices()[:2])(
      *(x[:, None] for x in given)
  )
  np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)
  for ours, whole in zip(gradients, gradient, strict=True):
    np.testing.assert_allclose(
        ours[:, 0] / 2, whole, atol=2e-6 * np.abs(whole).max()
    )
