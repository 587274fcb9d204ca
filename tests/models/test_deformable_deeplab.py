import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import backbones
from segjax import models
from segjax.layers.conv import conv
from segjax.layers.deform_conv import deformable
from segjax.layers.deform_conv import modulated
from segjax.layers.upsample import bilinear
from segjax.ops.resize import resize

IMAGE = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)
X = np.random.default_rng(0).normal(size=(1, 6, 7, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ('kind', 'factor'), [(deformable, 1.0), (modulated, 0.5)]
)
def test_a_layer_begins_as_a_plain_convolution_by_its_factors(kind, factor):
  options = dict(stride=2, dilation=2, name='conv')
  y, variables = kind(4, **options).init_with_output(jax.random.key(0), X)
  kernel = {'kernel': variables['params']['kernel']}
  plain = conv(4, **options).apply({'params': kernel}, X)
  np.testing.assert_allclose(y, factor * plain, atol=1e-5)


def test_an_offset_moves_what_all_taps_read():
  layer = deformable(4, name='conv')
  params = layer.init(jax.random.key(0), X)['params']
  moved = {**params['offset'], 'bias': np.tile(np.float32([0, 1]), 9)}
  y = layer.apply({'params': {**params, 'offset': moved}}, X)
  still = layer.apply({'params': params}, X)
  # One column to the right; of its padding there is none.
  np.testing.assert_allclose(y[:, :, :-2], still[:, :, 1:-1], atol=1e-5)


def shapes(**fields):
  model = backbones.build('resnet/tiny', output_stride=16, **fields)
  return jax.eval_shape(
      functools.partial(model.init, jax.random.key(0)), IMAGE
  )['params']


@pytest.mark.parametrize(('modulated', 'outputs'), [(False, 18), (True, 27)])
def test_the_3x3_convolutions_of_some_levels_are_deformable(modulated, outputs):
  plain = shapes()
  other = shapes(deformable=('c3', 'c5'), modulated=modulated)
  found = {}
  for block, layers in other.items():
    for name, parts in layers.items():
      if 'conv' in parts and (moved := parts['conv'].pop('offset', None)):
        found[f'{block}/{name}'] = moved['bias'].shape
  blocks = 'stage2_0/conv1', 'stage2_0/conv2', 'stage4_0/conv1'
  assert found == dict.fromkeys((*blocks, 'stage4_0/conv2'), (outputs,))
  assert other == plain  # Weights of a plain network fit.


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        (dict(deformable=('c1',)), r"\('c1',\): .* c2, c3, c4, c5"),
        (dict(deformable=('c5',), smoothing='separable'), 'leave one out'),
    ],
)
def test_levels_that_cannot_be_deformable_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    shapes(**fields)


def test_another_stride_than_that_of_the_upsampling_is_refused():
  model = models.create(
      'deformable_deeplab', 5, backbone='resnet/tiny(output_stride=8)'
  )
  with pytest.raises(ValueError, match='this system sets output_stride=16'):
    jax.eval_shape(model.init, jax.random.key(0), IMAGE)


def test_upsampling_interpolates_between_the_middles_of_cells(random_variables):
  model = models.create(
      'deformable_deeplab', 2, backbone='resnet/tiny', features=4
  )
  variables = random_variables(model, (1, 64, 64, 3))
  kernel = bilinear(None, (32, 32, 1, 2))
  params = {**variables['params'], 'upsample': {'kernel': kernel}}
  image = np.random.default_rng(0).normal(size=(1, 64, 64, 3))
  out, state = jax.jit(
      lambda v, x: model.apply(
          v, x, capture_intermediates=True, mutable=['intermediates']
      )
  )({**variables, 'params': params}, image)
  scores = state['intermediates']['classifier']['__call__'][0]
  expected = resize(scores, (64, 64))
  inner = slice(None), slice(8, -8), slice(8, -8)
  np.testing.assert_allclose(out['logits'][inner], expected[inner], atol=1e-4)
