import jax
import numpy as np

from segjax import parallel
from segjax.ops import mask_refinement as ops

RANDOM = np.random.default_rng(0)
SHAPE = 2, 6, 7, 1


def make():
  logits = RANDOM.normal(size=SHAPE).astype(np.float32)
  mask = RANDOM.uniform(size=SHAPE).astype(np.float32)
  valid = RANDOM.random(SHAPE) < 0.7
  return logits, mask, valid


def test_each_output_has_its_own_mix_of_losses():
  logits, mask, valid = make()
  probability = 1 / (1 + np.exp(-np.float64(logits)))
  entropy = -np.log(np.where(mask > 0.5, probability, 1 - probability))
  difference = np.abs(probability - mask)
  distance = difference + difference**2
  for stride, expected in (
      (8, entropy),
      (4, 0.5 * entropy + 0.25 * distance),
      (1, distance),
  ):
    np.testing.assert_allclose(
        ops.output_loss(logits, mask, valid, stride),
        expected[valid].mean(),
        rtol=1e-5,
    )


def test_a_straight_edge_has_the_gradient_of_sobels_operator():
  mask = np.zeros((1, 9, 12, 1), np.float32)
  mask[:, :, 6:] = 1
  row = ops.gradient(mask)[0, 4, :, 0]
  # Means over three pixels are 0, 1/3, 2/3 and 1 there, and Sobel's operator
  # over 4 is their difference across two columns.
  expected = np.zeros(12)
  expected[4:8] = [1 / 3, 2 / 3, 2 / 3, 1 / 3]
  np.testing.assert_allclose(
      row[1:10], np.sqrt(expected**2 + 1e-4)[1:10], rtol=1e-4
  )


def test_the_mean_over_devices_is_the_loss_of_the_batch():
  logits, mask, valid = make()

  def loss(logits, mask, valid):
    outputs = {'a': (logits, 8), 'b': (2 * logits, 4), 'c': (-logits, 1)}
    return ops.cascade_loss(outputs, mask, valid)[0]

  value = jax.value_and_grad(loss)
  expected, gradient = jax.jit(value)(logits, mask, valid)
  values, gradients = jax.pmap(value, parallel.AXIS, devices=jax.devices()[:2])(
      *(x[:, None] for x in (logits, mask, valid))
  )
  np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)
  np.testing.assert_allclose(gradients[:, 0] / 2, gradient, atol=1e-6)
