import jax
import numpy as np
import pytest

from segjax import models
from segjax.models import hypercolumns

FIELDS = dict(
    backbone='vgg/tiny',
    grid=2,
    size=8,
    hidden=16,
    scales=(1.0, 1.0),
    min_score=-1e9,
    min_probability=0.0,
)
MODEL = models.create('hypercolumns', 4, **FIELDS)
SHAPE = (1, 48, 64, 3)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)
BOX, EMPTY = (5, 7, 20, 30), (0, 0, 0, 0)
apply = jax.jit(MODEL.apply)


def regions(*boxes):
  drawn = np.zeros((*SHAPE[:3], len(boxes)), np.uint8)
  for n, (y0, x0, y1, x1) in enumerate(boxes):
    drawn[:, y0:y1, x0:x1, n] = 1
  return drawn


@pytest.fixture
def variables(random_variables):
  return random_variables(MODEL, SHAPE)


def test_probabilities_of_the_cells_around_a_pixel_are_mixed():
  scores = 3 * RNG.normal(size=(6, 6, 4)).astype(np.float32)
  expected = np.zeros((6, 6))
  for y in range(6):
    for x in range(6):
      for r in range(2):
        for c in range(2):
          # Places of the pixel and of the cell, in cells.
          at = [np.clip((i + 0.5) / 3 - 0.5, 0, 1) for i in (y, x)]
          share = (1 - abs(at[0] - r)) * (1 - abs(at[1] - c))
          expected[y, x] += share / (1 + np.exp(-scores[y, x, 2 * r + c]))
  mixed = jax.nn.sigmoid(hypercolumns.mix(scores))
  np.testing.assert_allclose(mixed, expected, rtol=1e-4)


def test_nothing_is_pasted_beyond_the_boxes(variables):
  out = apply(variables, IMAGE, regions(BOX, EMPTY))
  expected = regions(BOX)[..., 0]
  np.testing.assert_array_equal(out['logits'].argmax(-1) > 0, expected)


def test_without_proposals_all_is_background(variables):
  out = apply(variables, IMAGE, regions(EMPTY, EMPTY))
  assert not out['logits'].argmax(-1).any()
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(out))


def test_the_order_of_proposals_means_nothing(variables):
  boxes = BOX, (10, 3, 40, 60)
  one = apply(variables, IMAGE, regions(*boxes))
  two = apply(variables, IMAGE, regions(*boxes[::-1]))
  np.testing.assert_array_equal(one['logits'], two['logits'])
  for name in ('class_logits', 'boxes'):
    np.testing.assert_allclose(one[name], two[name][:, ::-1], rtol=1e-4)


def test_figures_are_those_of_the_categories_that_are_given(variables):
  drawn = regions(BOX, BOX)
  one = apply(variables, IMAGE, drawn, np.array([[1, 2]]))['masks']['figure']
  two = apply(variables, IMAGE, drawn, np.array([[2, 1]]))['masks']['figure']
  np.testing.assert_allclose(one, two[:, ::-1], atol=1e-5)
  assert np.abs(one[:, 0] - one[:, 1]).max() > 1e-2


def test_given_categories_stand_for_a_classifier_best_first(random_variables):
  model = models.create('hypercolumns', 4, **FIELDS, classify=False)
  out = jax.jit(model.apply)(
      random_variables(model, SHAPE),
      IMAGE,
      regions(BOX, (0, 0, 48, 64)),
      np.array([[3, 2]]),
  )
  labels = out['logits'].argmax(-1)
  inside = regions(BOX)[..., 0] > 0
  assert (labels[inside] == 3).all()
  assert (labels[~inside] == 2).all()


def test_without_a_classifier_categories_must_be_given():
  model = models.create('hypercolumns', 4, **FIELDS, classify=False)
  with pytest.raises(ValueError, match='categories must be given'):
    jax.eval_shape(model.init, jax.random.key(0), IMAGE, regions(BOX))
