import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.sds import Network

MODEL = models.create(
    'sds',
    4,
    backbone='caffenet/tiny',
    size=67,
    context=6,
    grid=4,
    min_score=-1e9,
)
NETWORK = Network(4, 'caffenet/tiny', cells=4)
SHAPE = (1, 48, 64, 3)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)
WINDOW = RNG.normal(size=(1, 67, 67, 3)).astype(np.float32)
MASK = np.zeros((1, 67, 67), np.float32)
MASK[:, :40] = 1
CELLS = np.ones((1, 4), np.float32)
apply = jax.jit(MODEL.apply)


def region(y0, x0, y1, x1):
  drawn = np.zeros((*SHAPE[:3], 1), np.uint8)
  drawn[:, y0:y1, x0:x1] = 1
  return drawn


@pytest.fixture
def variables(random_variables):
  return random_variables(MODEL, SHAPE)


@pytest.fixture(scope='module')
def network():
  return jax.jit(NETWORK.init)(jax.random.key(0), WINDOW, MASK, CELLS)


def test_windows_are_boxes_with_context(variables):
  boxes = apply(variables, IMAGE, region(10, 20, 21, 42))['boxes']
  # 6 of 67 pixels on each side are context: 6 for each 55 of the box.
  np.testing.assert_allclose(
      boxes[0, 0], [10 - 1.2, 20 - 2.4, 21 + 1.2, 42 + 2.4], rtol=1e-6
  )


def test_the_second_path_does_not_see_the_background(network):
  @jax.jit
  def features(window):
    _, state = NETWORK.apply(
        network, window, MASK, CELLS, capture_intermediates=True
    )
    return {
        path: state['intermediates'][path]['__call__'][0]['c5']
        for path in ('box', 'region')
    }

  one = features(WINDOW)
  two = features(np.where(MASK[..., None] > 0, WINDOW, 5.0))
  np.testing.assert_array_equal(one['region'], two['region'])
  assert np.abs(one['box'] - two['box']).max() > 0


def test_linear_heads_do_not_change_the_network(network):
  @jax.jit
  @jax.grad
  def gradient(params):
    out = NETWORK.apply({'params': params}, WINDOW, MASK, CELLS)
    return sum(jnp.square(out[k]).sum() for k in ('svm_scores', 'coarse'))

  found = gradient(network['params'])
  paths = jax.tree.leaves((found['box'], found['region']))
  assert not any(x.any() for x in paths)
  assert found['svm']['kernel'].any()
  assert found['refiner']['kernel'].any()


@pytest.mark.parametrize('bias', [-20.0, 20.0])
def test_at_first_coarse_mask_and_region_have_to_agree(variables, bias):
  drawn = region(5, 7, 20, 30)
  params = variables['params']
  params['membership']['embedding'] = jnp.tile(jnp.array([4.0, 4, -6]), (3, 1))
  params['network']['refiner']['kernel'] *= 0
  params['network']['refiner']['bias'] = jnp.full(3 * 16, bias)
  labels = apply(variables, IMAGE, drawn)['logits'].argmax(-1)
  np.testing.assert_array_equal(labels > 0, drawn[..., 0] * (bias > 0))


def test_without_proposals_all_is_background(variables):
  out = apply(variables, IMAGE, region(0, 0, 0, 0))
  assert not out['logits'].argmax(-1).any()
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(out))
