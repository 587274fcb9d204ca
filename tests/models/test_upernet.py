import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models.upernet import SharedPyramid

SIZES = {'c2': 16, 'c3': 8, 'c4': 4, 'c5': 4}


def make_levels():
  rng = np.random.default_rng(0)
  return {
      level: rng.normal(size=(1, side, side, 4 if level == 'c2' else 6)).astype(
          np.float32
      )
      for level, side in SIZES.items()
  }


def test_a_shared_pyramid_adds_the_next_level_alone():
  pyramid, feats = SharedPyramid(4), make_levels()
  variables = pyramid.init(jax.random.key(0), feats)
  assert set(variables['params']) == {
      *('lateral_c3', 'lateral_c4', 'lateral_c5', 'smooth')
  }
  before = pyramid.apply(variables, feats)
  after = pyramid.apply(variables, {**feats, 'c4': feats['c4'] + 1})
  changed = [
      not np.array_equal(a, b) for a, b in zip(before, after, strict=True)
  ]
  assert changed == [False, True, True, False]


def test_a_shared_pyramid_needs_the_channels_of_the_finest_level():
  with pytest.raises(ValueError, match='features=8: .*c2, has 4 channels'):
    SharedPyramid(8).init(jax.random.key(0), make_levels())


def test_the_network_with_a_shared_pyramid_has_no_auxiliary_head():
  model = models.create(
      'upernet', 5, backbone='resnet/tiny', shared=True, features=16
  )
  image = jax.ShapeDtypeStruct((2, 65, 97, 3), jnp.float32)
  out, variables = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image
  )
  assert out['logits'].shape == (2, 65, 97, 5)
  assert out['aux'] == {}
  params = variables['params']
  assert 'aux' not in params
  # Pyramid pooling keeps the channels of the coarsest level, 128.
  assert params['ppm']['level0']['conv']['kernel'].shape[2:] == (128, 32)
  assert params['top']['conv']['kernel'].shape[2:] == (256, 128)


def test_levels_may_be_normalised_by_their_channels_first():
  image = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)

  def names(**fields):
    model = models.create('upernet', 5, backbone='resnet/tiny', **fields)
    return set(jax.eval_shape(model.init, jax.random.key(0), image)['params'])

  more = names(norm_levels=True) - names()
  assert more == {f'norm_c{i}' for i in (2, 3, 4, 5)}
