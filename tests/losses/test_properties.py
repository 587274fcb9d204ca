"""What holds for every loss, of one channel and of a channel a class."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses
from segjax import parallel

CLASSES = 4
CALLS = (
    'cross_entropy',
    "cross_entropy(label_smoothing=0.1, divide_by='valid')",
    "cross_entropy(divide_by='all')",
    "cross_entropy(divide_by='nothing')",
    'ohem_cross_entropy(threshold=0.5, min_kept=4)',
    "ohem_cross_entropy(threshold=0.0, min_kept=9, divide_by='all')",
    'hardest_cross_entropy(fraction=0.1)',
    'binary_cross_entropy(pos_weight=3.0)',
    'binary_cross_entropy(average=False, extra_pixels=1.0)',
    "binary_cross_entropy(label_smoothing=0.1, divide_by='all')",
    'batch_weighted_cross_entropy',
    'image_weighted_cross_entropy',
    'image_weighted_cross_entropy(average=False)',
    'focal(gamma=0.5)',
    'binary_focal(gamma=0.5)',
    'binary_focal(whole_below=0.5, normalized=True)',
    'dice',
    'dice(squared=True, per_image=True, smooth=0.0)',
    'dice_mmseg',
    'dice_mmseg(naive=True)',
    'tversky(power=0.75)',
    'tversky(per_image=True)',
    'tversky_smp(power=1.3)',
    'tversky_smp(alpha=1.0, beta=1.0, smooth=1.0, log=True, classes=(0,))',
    'mcc',
    'combo',
    'combo(average=True)',
    'lovasz_hinge',
    'lovasz_hinge(per_image=False)',
    'lovasz_softmax',
    'lovasz_softmax(per_image=True, all_classes=True)',
    'rmi(pool=2)',
)
CASES = [
    (call, channels)
    for call in CALLS
    for channels in (1, CLASSES)
    if channels == 1 or 'hinge' not in call
]
every_loss = pytest.mark.parametrize(('call', 'channels'), CASES)


def make_logits(channels):
  rng = np.random.default_rng(0)
  return 2 * rng.normal(size=(8, 8, 5, channels)).astype(np.float32)


def make_labels(channels):
  """Labels of which more and more is ignored, and all of the last image."""
  rng = np.random.default_rng(1)
  labels = rng.integers(0, max(channels, 2), (8, 8, 5)).astype(np.int32)
  for i, label in enumerate(labels, 1):
    label[:i] = 255
  return labels


@functools.cache
def local(call):
  objective = losses.build(call)
  return jax.value_and_grad(lambda logits, labels: objective(logits, labels)[0])


@functools.cache
def value_and_gradient(call):
  return jax.jit(local(call))


def test_there_is_a_case_of_every_loss():
  assert {call.split('(')[0] for call in CALLS} == set(losses.names())


@every_loss
def test_ignored_pixels_get_no_gradient(call, channels):
  labels = make_labels(channels)
  _, gradient = value_and_gradient(call)(make_logits(channels), labels)
  touched = np.abs(gradient).max(-1) > 0
  assert touched[labels != 255].any()
  if 'dice_mmseg' in call:  # Their probabilities are in its denominator.
    assert touched[:-1][labels[:-1] == 255].any()
    assert not touched[-1].any()
  else:
    assert not touched[labels == 255].any()


@every_loss
def test_a_label_of_no_class_counts_as_ignored(call, channels):
  logits, labels = make_logits(channels), make_labels(channels)
  expected = value_and_gradient(call)(logits, labels)
  for label in (max(channels, 2), 254, -1):
    wrong = np.where(labels == 255, label, labels).astype(np.int32)
    value, gradient = value_and_gradient(call)(logits, wrong)
    np.testing.assert_array_equal(value, expected[0])
    np.testing.assert_array_equal(gradient, expected[1])


@every_loss
def test_without_a_valid_pixel_loss_and_gradient_are_zero(call, channels):
  labels = np.full((8, 8, 5), 255, np.int32)
  value, gradient = value_and_gradient(call)(make_logits(channels), labels)
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


@every_loss
def test_extreme_logits_have_a_finite_loss_and_gradient(call, channels):
  labels = make_labels(channels)
  for scale in (1e4, 1e30):
    logits = np.float32(scale) * make_logits(channels)
    value, gradient = value_and_gradient(call)(logits, labels)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@every_loss
def test_loss_of_bfloat16_logits_is_computed_in_float32(call, channels):
  labels = make_labels(channels)
  half = jnp.array(make_logits(channels), jnp.bfloat16)
  value, _ = value_and_gradient(call)(half, labels)
  expected, _ = value_and_gradient(call)(half.astype(jnp.float32), labels)
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, expected, rtol=1e-6)


@every_loss
def test_the_mean_over_devices_is_the_loss_of_the_global_batch(call, channels):
  logits, labels = make_logits(channels), make_labels(channels)
  value, gradient = value_and_gradient(call)(logits, labels)
  values, gradients = jax.pmap(local(call), parallel.AXIS)(
      logits[:, None], labels[:, None]
  )
  np.testing.assert_allclose(values.mean(), value, rtol=5e-6)
  np.testing.assert_allclose(
      gradients[:, 0] / 8, gradient, atol=1e-6 * np.abs(gradient).max()
  )
