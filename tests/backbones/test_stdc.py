import jax
import numpy as np
import pytest

from segjax.backbones.stdc import Module
from tests.backbones.shapes import shapes


@pytest.mark.parametrize(
    ('name', 'depths'), [('1', (2, 2, 2)), ('2', (4, 5, 3))]
)
def test_stages_have_the_modules_of_the_paper(name, depths):
  feats, variables = shapes(f'stdc/{name}')
  for level, depth in enumerate(depths, 3):
    assert feats[f'c{level}'].shape[-1] == 64 * 2 ** (level - 1)
    modules = [
        key for key in variables['params'] if key.startswith(f'stage{level}_')
    ]
    assert len(modules) == depth


def test_a_strided_module_begins_with_the_mean_of_its_first_convolution():
  layer = Module(8, stride=2)
  x = jax.random.normal(jax.random.key(0), (1, 5, 8, 3))
  y, captured = layer.apply(
      layer.init(jax.random.key(1), x, False),
      x,
      False,
      capture_intermediates=True,
      mutable=['intermediates'],
  )
  first = captured['intermediates']['conv1']['__call__'][0]
  padded = np.pad(first, ((0, 0), (1, 1), (1, 1), (0, 0)))
  assert y.shape == (1, 3, 4, 8)
  for i, j in np.ndindex(3, 4):
    np.testing.assert_allclose(
        y[0, i, j, :4],
        padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].sum((0, 1)) / 9,
        rtol=1e-4,
        atol=1e-6,
    )
