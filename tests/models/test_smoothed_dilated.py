import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax.layers.conv import conv
from segjax.layers.smoothed_conv import smoothed

DILATION = 2
SMOOTHINGS = 'interaction', 'separable'


def draw(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def layer(smoothing):
  return smoothed(smoothing)(4, dilation=DILATION, name='conv')


# A side that is no multiple of the dilation, and sides that are.
@pytest.mark.parametrize('size', [(5, 7), (4, 6)])
@pytest.mark.parametrize('smoothing', SMOOTHINGS)
def test_it_begins_as_exactly_the_dilated_convolution(smoothing, size):
  x = draw(1, *size, 3)
  y, variables = layer(smoothing).init_with_output(jax.random.key(0), x)
  plain = conv(4, dilation=DILATION, name='conv')
  kernel = {'kernel': variables['params']['kernel']}
  np.testing.assert_array_equal(y, plain.apply({'params': kernel}, x))


@pytest.mark.parametrize(
    ('smoothing', 'shape'),
    [('interaction', (4, 4)), ('separable', (3, 3))],
)
def test_smoothing_costs_few_weights_and_learns(smoothing, shape):
  x = draw(1, 6, 6, 3)
  variables = layer(smoothing).init(jax.random.key(0), x)
  gradient = jax.grad(lambda v: jnp.square(layer(smoothing).apply(v, x)).sum())(
      variables
  )['params']
  assert gradient['smoothing'].shape == shape
  assert (gradient['smoothing'] != 0).all()


@pytest.mark.parametrize('smoothing', SMOOTHINGS)
def test_neighbours_share_inputs_once_smoothing_has_learnt(smoothing):
  x = draw(1, 8, 8, 3)
  variables = layer(smoothing).init(jax.random.key(0), x)

  @jax.grad
  def reads(x, weights):
    params = {**variables['params'], 'smoothing': weights}
    return layer(smoothing).apply({'params': params}, x)[0, 4, 4].sum()

  start = variables['params']['smoothing']
  before, after = (
      np.abs(reads(x, w)[0]).max(-1) > 0 for w in (start, start + 0.1)
  )
  assert before.sum() == 9
  assert not before[1::2].any()
  assert after[3:6, 3:6].all()


def test_what_is_convolved_in_the_padding_is_mixed():
  x = draw(1, 5, 5, 3)
  variables = layer('interaction').init(jax.random.key(0), x)
  mixed = {**variables['params'], 'smoothing': np.ones((4, 4), np.float32) / 4}
  y = layer('interaction').apply({'params': mixed}, x)
  whole = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
  plain = np.asarray(layer('interaction').apply(variables, whole))
  # The last pixel is in a square with three that are padding.
  np.testing.assert_allclose(
      y[0, 4, 4], plain[0, 4:, 4:].mean((0, 1)), rtol=1e-4, atol=1e-5
  )


def shapes(**fields):
  model = backbones.build('resnet/tiny', output_stride=8, **fields)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  return jax.eval_shape(
      functools.partial(model.init, jax.random.key(0)), image
  )['params']


@pytest.mark.parametrize('smoothing', SMOOTHINGS)
def test_what_dilates_is_smoothed_and_weights_of_a_plain_network_fit(smoothing):
  plain, other = shapes(), shapes(smoothing=smoothing)
  found = set()
  for block, layers in other.items():
    for name, parts in layers.items():
      if 'conv' in parts and parts['conv'].pop('smoothing', None) is not None:
        found.add(f'{block}/{name}')
  assert found == {'stage3_0/conv2', 'stage4_0/conv1', 'stage4_0/conv2'}
  assert other == plain


def test_a_smoothing_there_is_not_is_refused():
  with pytest.raises(ValueError, match='interaction, separable'):
    smoothed('wide')


def test_what_cannot_be_smoothed_is_refused():
  with pytest.raises(ValueError, match="conv2 has {'groups': 2}"):
    smoothed('separable')(4, dilation=2, groups=2, name='conv2')
