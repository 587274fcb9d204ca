import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.convcrf import ConvCRF
from segjax.layers.crf_rnn import CRFRNN
from segjax.ops import crf

RNG = np.random.default_rng(0)
UNARY = RNG.normal(size=(2, 12, 17, 4)).astype(np.float32)
IMAGE = RNG.uniform(0, 255, size=(2, 12, 17, 3)).astype(np.float32)
LAYERS = [CRFRNN(3, widths=(20.0, 40.0, 3.0)), ConvCRF(window=3, iterations=3)]


@pytest.mark.parametrize('layer', LAYERS, ids=['crf_rnn', 'convcrf'])
def test_images_of_a_batch_do_not_meet_and_a_shift_of_colours_does_nothing(
    layer,
):
  variables = layer.init(jax.random.key(0), UNARY, IMAGE)
  both = layer.apply(variables, UNARY, IMAGE)
  for i in range(2):
    one = layer.apply(variables, UNARY[i : i + 1], IMAGE[i : i + 1] - 100)
    np.testing.assert_allclose(one[0], both[i], atol=1e-3)


@pytest.mark.parametrize('exact', [True, False])
def test_crf_rnn_learns_through_exact_sums_and_through_the_lattice(
    exact, monkeypatch
):
  monkeypatch.setattr(crf, 'SMALL', 10**9 if exact else 0)
  layer = LAYERS[0]
  params = layer.init(jax.random.key(0), UNARY, IMAGE)['params']

  @jax.jit
  def loss(params, unary):
    logits = layer.apply({'params': params}, unary, IMAGE)
    return -jax.nn.log_softmax(logits)[..., 0].mean()

  def along(step):
    moved = jax.tree.map(lambda p, g: p + step * g, params, grads)
    return loss(moved, UNARY + step * to_unary)

  grads, to_unary = jax.jit(jax.grad(loss, (0, 1)))(params, UNARY)
  squared = sum(
      float(jnp.square(g).sum()) for g in jax.tree.leaves((grads, to_unary))
  )
  slope = (along(1e-4) - along(-1e-4)) / 2e-4
  assert slope == pytest.approx(squared, rel=1e-2)


def test_crf_rnn_begins_by_making_equal_what_looks_equal():
  layer = CRFRNN(5, widths=(20.0, 13.0, 3.0))
  image = np.zeros((1, 12, 16, 3), np.float32)
  image[:, :, 8:] = 255
  unary = RNG.normal(size=(1, 12, 16, 2)).astype(np.float32)
  unary[:, :, 8:, 1] += 1
  unary[:, :, :8, 0] += 1
  variables = layer.init(jax.random.key(0), unary, image)
  labels = layer.apply(variables, unary, image).argmax(-1)
  assert (unary.argmax(-1) != image[..., 0] // 255).sum() > 0
  np.testing.assert_array_equal(labels, image[..., 0] // 255)
