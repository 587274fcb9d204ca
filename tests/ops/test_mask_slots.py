import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import mask_slots as ops


def example():
  """Two objects and a void pixel, and two of three queries that fit."""
  masks = np.zeros((1, 1, 4, 2), np.float32)
  masks[0, 0, :2, 0] = 1
  masks[0, 0, 2, 1] = 1
  truth = ops.Targets(
      jnp.asarray(masks),
      jnp.array([[0, 1]]),
      jnp.ones((1, 2), bool),
      jnp.ones((1, 2), bool),
  )
  shares = np.array(
      [[0.1, 0.7, 0.2], [0.2, 0.6, 0.2], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6]]
  )
  classes = np.array([[0.1, 0.7, 0.2], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
  logits = (
      jnp.log(jnp.asarray(x, jnp.float32))[None] for x in (classes, shares)
  )
  classes_of, masks_of = logits
  return truth, classes_of, masks_of[:, None], shares, classes


def test_losses_are_the_formulas_of_the_paper():
  truth, classes, masks, shares, probabilities = example()
  matched = ops.match(classes, masks, truth)
  assert matched.queries.tolist() == [[1, 0]]
  # The last pixel is void: it does not count in the similarity.
  dice = [2 * 1.3 / (2 + 1.4), 2 * 0.8 / (1 + 1.1)]
  np.testing.assert_allclose(matched.dice[0], dice, rtol=1e-4)
  np.testing.assert_allclose(matched.probability[0], [0.6, 0.7], rtol=1e-5)
  weights = ops.class_weights(masks, truth, matched)
  void = 0.6 / shares[:, 2].sum()
  np.testing.assert_allclose(weights[0], [dice[1], dice[0], void], rtol=1e-4)
  parts = ops.prediction_losses(classes, masks, weights, truth, matched)
  terms = [
      0.75 * dice[1] * -np.log(0.7),
      0.75 * dice[0] * -np.log(0.6),
      0.25 * void * -np.log(0.8),
  ]
  assert float(parts['class'][0]) == pytest.approx(np.mean(terms), rel=1e-4)
  terms = [
      0.6 * (1 - (2 * 1.3 + 1) / (2 + 1.4 + 1)),
      0.7 * (1 - (2 * 0.8 + 1) / (1 + 1.1 + 1)),
  ]
  assert float(parts['dice'][0]) == pytest.approx(0.25 * sum(terms), rel=1e-4)
  terms = -np.log([0.7, 0.6, 0.8])
  assert float(parts['mask'][0]) == pytest.approx(np.mean(terms), rel=1e-4)


def test_matching_has_no_gradient():
  truth, classes, masks, *_ = example()

  def value(masks):
    matched = ops.match(classes, masks, truth)
    return (matched.dice + matched.probability).sum()

  assert not jax.jit(jax.grad(value))(masks).any()


def test_an_image_without_a_segment_has_finite_losses():
  truth, classes, masks, *_ = example()
  truth = ops.Targets(
      jnp.zeros_like(truth.masks),
      truth.classes,
      jnp.zeros((1, 2), bool),
      jnp.zeros((1, 2), bool),
  )
  features = jnp.ones((1, 1, 4, 2))

  def total(classes, masks, features):
    matched = ops.match(classes, masks, truth)
    weights = ops.class_weights(masks, truth, matched)
    parts = ops.prediction_losses(classes, masks, weights, truth, matched)
    places = jnp.array([[0, 1]])
    return (
        sum(part.sum() for part in parts.values())
        + (
            ops.segment_contrast(features, truth)
            + ops.pixel_contrast(features, truth, places)
        ).sum()
    )

  found = jax.jit(jax.value_and_grad(total, (0, 1, 2)))(
      classes, masks, features
  )
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_pixels_of_small_segments_come_first_and_void_ones_last():
  weight = jnp.array([[[0.0, 1e-6, 1.0, 0.0, 1e-6, 1.0]]])
  draws = jax.random.uniform(jax.random.key(0), (1, 6))
  places = ops.sample_pixels(weight, draws, 8, 4.0)
  assert [set(x) for x in np.split(np.asarray(places[0]), 3)] == [
      *({2, 5}, {1, 4}, {0, 3})
  ]


@pytest.mark.parametrize(('side', 'small'), [(96, 24), (65, 17), (66, 17)])
def test_truth_is_thinned_to_the_size_of_strided_convolutions(side, small):
  x = jnp.arange(side * side).reshape(1, side, side)
  y = ops.thinned(x, (small, small))
  assert y.shape == (1, small, small)
  assert y[0, 1, 2] == x[0, 4, 8]
