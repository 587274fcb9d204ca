import jax
import numpy as np
import pytest

from segjax.backbones import mscan
from tests.backbones.shapes import shapes

# Millions of parameters of the whole networks, by the paper, less those of the
# head.
PUBLISHED = {'tiny': 4.3 - 0.34, 'small': 13.9 - 0.45, 'base': 27.6 - 1.3}


@pytest.mark.parametrize('name', PUBLISHED)
def test_there_are_as_many_parameters_as_published(name):
  _, variables = shapes(f'mscan/{name}')
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - PUBLISHED[name]) < 0.15


def test_levels_begin_at_stride_4():
  feats, _ = shapes('mscan/mini', (2, 65, 97, 3))
  for level, width in zip((2, 3, 4, 5), (16, 32, 32, 64), strict=True):
    stride = 2**level
    assert feats[f'c{level}'].shape == (
        2,
        -(-65 // stride),
        -(-97 // stride),
        width,
    )


def test_attention_reaches_as_far_as_its_longest_strips():
  layer = mscan.Attention((3, 7))
  x = np.random.default_rng(0).normal(size=(1, 15, 15, 2)).astype(np.float32)

  @jax.jit
  def reach(x):
    variables = layer.init(jax.random.key(0), x)
    return jax.grad(lambda x: layer.apply(variables, x)[0, 7, 7].sum())(x)

  seen = np.abs(np.asarray(reach(x))).max((0, 3)) > 1e-9
  # 5 of the first convolution, and 7 of the strips.
  assert seen[7].nonzero()[0].tolist() == list(range(2, 13))
  assert seen[:, 7].nonzero()[0].tolist() == list(range(2, 13))
