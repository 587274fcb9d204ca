import jax
import numpy as np
import pytest

from segjax.ops import targets


@pytest.mark.parametrize('dtype', [np.uint8, np.int32])
def test_the_target_of_a_class_is_one_in_its_channel(dtype):
  labels = np.array([[[0, 2, 255, 3, 1]]]).astype(dtype)
  target, valid = targets.one_hot(labels, 3, ignore=255)
  assert target.dtype == np.float32
  np.testing.assert_array_equal(
      target[0, 0],
      [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]],
  )
  np.testing.assert_array_equal(valid[0, 0, :, 0], [1, 1, 0, 0, 1])


@pytest.mark.parametrize('dtype', [np.uint8, np.int32])
def test_one_channel_is_that_of_class_one(dtype):
  labels = np.array([[[0, 1, 255, 2]]]).astype(dtype)
  target, valid = targets.one_hot(labels, 1, ignore=255)
  np.testing.assert_array_equal(target[0, 0], [[0], [1], [0], [0]])
  np.testing.assert_array_equal(valid[0, 0], [[1], [1], [0], [0]])


def test_a_class_can_be_ignored():
  target, valid = targets.one_hot(np.array([[[0, 1]]]), 2, ignore=0)
  np.testing.assert_array_equal(target[0, 0], [[0, 0], [0, 1]])
  np.testing.assert_array_equal(valid[0, 0], [[0], [1]])


def test_a_sigmoid_is_a_softmax_of_two_classes():
  logits = np.random.default_rng(0).normal(size=(1, 2, 3, 1))
  both = jax.nn.softmax(targets.class_logits(logits))
  np.testing.assert_allclose(
      both[..., 1:], targets.probabilities(logits), rtol=1e-6
  )


def test_probabilities_of_classes_are_those_of_a_softmax():
  logits = np.random.default_rng(0).normal(size=(1, 2, 3, 4))
  np.testing.assert_array_equal(
      targets.class_logits(logits), logits.astype('f')
  )
  np.testing.assert_allclose(
      targets.probabilities(logits).sum(-1), 1, rtol=1e-6
  )
