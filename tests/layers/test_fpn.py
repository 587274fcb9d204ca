from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.fpn import FPN
from segjax.layers.fpn import sum_levels


@pytest.fixture
def feats():
  shapes = {'c2': (1, 9, 13, 4), 'c3': (1, 5, 7, 8), 'c4': (1, 3, 4, 16)}
  keys = jax.random.split(jax.random.key(0), 3)
  return {
      level: jax.random.normal(key, shape)
      for key, (level, shape) in zip(keys, shapes.items(), strict=True)
  }


def changed_levels(pyramid, variables, feats, level, **inputs):
  """Levels of the pyramid that another value of one of `feats` changes."""
  before = pyramid.apply(variables, feats, False, **inputs)
  other = {**feats, level: feats[level] + 1}
  after = pyramid.apply(variables, other, False, **inputs)
  return [name for name in before if not np.allclose(before[name], after[name])]


def test_a_level_is_told_what_the_coarser_ones_know(feats):
  pyramid = FPN(6)
  variables = pyramid.init(jax.random.key(1), feats, False)
  for level, told in (('c2', 1), ('c3', 2), ('c4', 3)):
    changed = changed_levels(pyramid, variables, feats, level)
    assert changed == ['c2', 'c3', 'c4'][:told]


def test_every_level_keeps_its_size(feats):
  pyramid = FPN(6)
  out, _ = pyramid.init_with_output(jax.random.key(1), feats, False)
  assert list(out) == list(feats)
  for level, x in out.items():
    assert x.shape == (*feats[level].shape[:3], 6)


def test_what_is_on_top_reaches_all_levels_and_has_no_layers(feats):
  pyramid = FPN(6)
  top = jax.random.normal(jax.random.key(2), (1, 2, 2, 6))
  out, variables = pyramid.init_with_output(
      jax.random.key(1), feats, False, top
  )
  more = pyramid.apply(variables, feats, False, top + 1)
  without = pyramid.init(jax.random.key(1), feats, False)
  assert jax.tree.structure(variables) == jax.tree.structure(without)
  for level in feats:
    assert not np.allclose(out[level], more[level])


def test_sums_have_the_nearest_pixel_of_the_level_above():
  feats = {'c2': jnp.zeros((1, 4, 4, 1)), 'c3': jnp.arange(4.0)}
  feats['c3'] = feats['c3'].reshape(1, 2, 2, 1)
  pyramid = FPN(1)
  variables = pyramid.init(jax.random.key(0), feats, False)
  for name, layer in variables['params'].items():
    kernel = np.zeros_like(layer['conv']['kernel'])  # The identity.
    kernel[tuple(n // 2 for n in kernel.shape[:2])] = 1
    variables['params'][name]['conv']['kernel'] = kernel
  out = pyramid.apply(variables, feats, False)['c2'][0, ..., 0]
  assert out.tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2


class Sum(nn.Module):
  """The sum of the levels of a pyramid, as a module."""

  @nn.compact
  def __call__(self, pyramid):
    return sum_levels(pyramid, 6, None, False)


def test_levels_are_summed_at_the_size_of_the_finest(feats):
  out, variables = Sum().init_with_output(jax.random.key(1), feats)
  assert out.shape == (1, 9, 13, 6)  # Twice 5x7 is 10x14.
  apply = jax.jit(Sum().apply)
  for level in feats:
    without = apply(variables, {**feats, level: 0 * feats[level]})
    assert not np.allclose(out, without)
