"""What losses are in terms of each other, and of measures."""

import functools

import jax
import numpy as np
import pytest

from segjax.losses.binary_cross_entropy import binary_cross_entropy
from segjax.losses.binary_focal import binary_focal
from segjax.losses.combo import combo
from segjax.losses.cross_entropy import cross_entropy
from segjax.losses.dice import dice
from segjax.losses.focal import focal
from segjax.losses.lovasz_hinge import lovasz_hinge
from segjax.losses.lovasz_softmax import lovasz_softmax
from segjax.losses.mcc import mcc
from segjax.losses.ohem_cross_entropy import ohem_cross_entropy
from segjax.losses.tversky import tversky

CLASSES = 4


@pytest.fixture
def logits():
  rng = np.random.default_rng(0)
  return 2 * rng.normal(size=(2, 5, 6, CLASSES)).astype(np.float32)


@pytest.fixture
def labels():
  rng = np.random.default_rng(1)
  labels = rng.integers(0, CLASSES, (2, 5, 6))
  labels[rng.random(labels.shape) < 0.3] = 255
  return labels


@pytest.fixture
def binary(logits, labels):
  return logits[..., :1], np.where(labels == 255, 255, labels % 2)


def assert_close(loss, expected):
  np.testing.assert_allclose(loss, expected, rtol=2e-6)


def test_cross_entropy_of_one_channel_is_that_of_a_sigmoid(binary):
  assert_close(cross_entropy(*binary), binary_cross_entropy(*binary))


def test_ohem_cross_entropy_of_one_channel_is_that_of_two_classes(binary):
  logits, labels = binary
  both = np.concatenate([np.zeros_like(logits), logits], -1)
  assert_close(
      ohem_cross_entropy(logits, labels, min_kept=5),
      ohem_cross_entropy(both, labels, min_kept=5),
  )


def test_focal_loss_without_focus_is_cross_entropy(logits, labels):
  assert_close(focal(logits, labels, gamma=0.0), cross_entropy(logits, labels))
  assert_close(
      2 * binary_focal(logits, labels, gamma=0.0, alpha=0.5),
      binary_cross_entropy(logits, labels),
  )


def test_focal_loss_of_one_channel_is_that_of_a_sigmoid(binary):
  assert_close(focal(*binary), 2 * binary_focal(*binary, alpha=0.5))


@pytest.mark.parametrize('per_image', [False, True])
def test_an_even_tversky_loss_is_a_dice_loss(logits, labels, per_image):
  even = functools.partial(tversky, alpha=0.5, beta=0.5, smooth=0.5)
  assert_close(
      even(logits, labels, per_image=per_image),
      dice(logits, labels, per_image=per_image),
  )


def test_the_correlation_of_certain_answers_is_that_of_counts():
  labels = np.array([[[1, 1, 1, 0, 0, 0, 0, 255]]])
  answers = np.array([[[1, 1, 0, 0, 0, 0, 1, 1]]])
  logits = (200.0 * answers - 100)[..., None]
  # Of 7 pixels 2 are hits, 3 rejections, 1 each is wrong.
  expected = 1 - (2 * 3 - 1 * 1) / np.sqrt(3 * 3 * 4 * 4)
  np.testing.assert_allclose(mcc(logits, labels), expected, rtol=1e-4)


def test_combo_is_made_of_cross_entropy_and_dice(binary, logits, labels):
  score = 1 - dice(*binary)
  assert_close(
      combo(*binary, alpha=0.3),
      0.3 * 0.5 * binary_cross_entropy(*binary) - 0.7 * score,
  )
  summed, averaged = (
      combo(logits, labels, alpha=0.0, average=average)
      for average in (False, True)
  )
  assert_close(summed, CLASSES * averaged)


def intersection_over_union(prediction, labels, label):
  valid = labels != 255
  predicted, true = (prediction == label) & valid, labels == label
  return (predicted & true).sum() / (predicted | true).sum()


def test_lovasz_softmax_of_sure_predictions_is_one_minus_mean_iou(labels):
  prediction = np.random.default_rng(2).integers(0, CLASSES, labels.shape)
  logits = 1e4 * np.eye(CLASSES, dtype=np.float32)[prediction]
  scores = [
      intersection_over_union(prediction, labels, label)
      for label in range(CLASSES)
  ]
  assert_close(lovasz_softmax(logits, labels), 1 - np.mean(scores))
  # Without the last class, its false positives are a loss only if it counts.
  labels = np.where(labels == CLASSES - 1, 255, labels)
  scores = [
      intersection_over_union(prediction, labels, label)
      for label in range(CLASSES - 1)
  ]
  assert_close(lovasz_softmax(logits, labels), 1 - np.mean(scores))
  assert_close(
      lovasz_softmax(logits, labels, all_classes=True),
      1 - np.mean([*scores, 0]),
  )


def test_lovasz_hinge_at_the_margin_is_twice_one_minus_iou(binary):
  _, labels = binary
  prediction = np.random.default_rng(2).integers(0, 2, labels.shape)
  logits = np.float32(2 * prediction - 1)[..., None]
  score = intersection_over_union(prediction, labels, 1)
  assert_close(lovasz_hinge(logits, labels, per_image=False), 2 * (1 - score))


@pytest.mark.parametrize(
    'loss',
    [dice, tversky, lovasz_softmax, lovasz_hinge],
    ids=lambda f: f.__name__,
)
def test_an_image_without_a_valid_pixel_is_not_in_the_mean(binary, loss):
  logits, labels = binary
  labels = np.stack([labels[0], np.full_like(labels[1], 255)])
  assert_close(
      loss(logits, labels, per_image=True),
      loss(logits[:1], labels[:1], per_image=True),
  )


@pytest.mark.parametrize('loss', [dice, lovasz_softmax], ids=['dice', 'lovasz'])
def test_an_absent_class_that_is_not_predicted_costs_nothing(loss, labels):
  right = np.where(labels == 255, 0, labels % (CLASSES - 1))
  logits = 1e4 * np.eye(CLASSES, dtype=np.float32)[right]
  labels = np.where(labels == 255, 255, right)
  assert loss(logits, labels) == 0
  assert loss(logits, labels, per_image=True) == 0


def test_the_label_to_ignore_can_be_another(binary):
  logits, labels = binary
  shifted = np.where(labels == 255, 7, labels)
  for loss in (cross_entropy, binary_focal, dice, lovasz_hinge):
    np.testing.assert_array_equal(
        loss(logits, shifted, ignore=7), loss(logits, labels)
    )


@pytest.mark.parametrize(
    'loss', [cross_entropy, ohem_cross_entropy], ids=lambda f: f.__name__
)
def test_an_unknown_denominator_is_refused_with_those_there_are(
    logits, labels, loss
):
  with pytest.raises(ValueError, match="'pixels'.* known are .*'all'"):
    loss(logits, labels, divide_by='pixels')


def test_lovasz_hinge_of_several_channels_is_refused(logits, labels):
  with pytest.raises(ValueError, match='4 channels, not one; lovasz_softmax'):
    jax.eval_shape(lovasz_hinge, logits, labels)
