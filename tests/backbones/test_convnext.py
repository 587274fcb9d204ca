import jax
import numpy as np
import pytest

from segjax.backbones import convnext
from tests.backbones.shapes import shapes

# Millions of parameters of the classifiers, table 1 of the paper.
PUBLISHED = {'tiny': 29, 'base': 89}


@pytest.mark.parametrize('name', PUBLISHED)
def test_there_are_as_many_parameters_as_published(name):
  _, variables = shapes(f'convnext/{name}', num_classes=1000)
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - PUBLISHED[name]) < 0.5


def test_levels_begin_at_stride_4_and_round_down():
  feats, _ = shapes('convnext/mini', (2, 65, 97, 3))
  assert [feats[f'c{i}'].shape for i in range(2, 6)] == [
      (2, 16, 24, 16),
      (2, 8, 12, 32),
      (2, 4, 6, 48),
      (2, 2, 3, 64),
  ]


def test_an_image_that_leaves_no_pixel_is_refused():
  shapes('convnext/mini', (1, 32, 32, 3))
  with pytest.raises(ValueError, match='32x32 pixels at least, .* 32 x 31'):
    shapes('convnext/mini', (1, 32, 31, 3))


@pytest.mark.parametrize('scale', [0.0, 1.0])
def test_a_block_begins_with_its_branch_times_the_scale(scale):
  block = convnext.Block(scale=scale, drop_path=1.0)
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)

  @jax.jit
  def run(x):
    key = jax.random.key(0)
    variables = block.init(key, x, False)
    trained = block.apply(variables, x, True, rngs={'dropout': key})
    return trained, block.apply(variables, x, False)

  trained, evaluated = run(x)
  np.testing.assert_array_equal(trained, x)  # Every image skips it.
  assert np.array_equal(evaluated, x) == (scale == 0)
