import jax
import numpy as np
import pytest

from segjax import backbones
from tests.backbones.shapes import shapes


@pytest.mark.parametrize(('name', 'width'), [('w18_small', 18), ('w48', 48)])
def test_a_branch_of_twice_the_width_at_every_stride(name, width):
  feats, _ = shapes(f'hrnet/{name}', (2, 65, 97, 3))
  assert list(feats) == ['c1', 'c2', 'c3', 'c4', 'c5']
  assert feats['c1'].shape == (2, 33, 49, 64)
  for i, level in enumerate(('c2', 'c3', 'c4', 'c5')):
    stride = 4 * 2**i
    assert feats[level].shape == (
        2,
        -(-65 // stride),
        -(-97 // stride),
        width * 2**i,
    )


def test_every_module_ends_in_exchanges_among_all_branches():
  _, variables = shapes('hrnet/tiny')
  params = variables['params']
  assert {key for key in params['stage3_0'] if 'branch' not in key} == {
      *('up0_1', 'up0_2', 'up1_2'),
      *('down1_0_0', 'down2_1_0', 'down2_0_0', 'down2_0_1'),
  }


def test_resizing_twice_differs_on_sizes_that_do_not_divide_alone(
    random_variables,
):
  once = backbones.build('hrnet/tiny')
  twice = backbones.build('hrnet/tiny', resize_twice=True)
  for size, same in ((64, True), (72, False)):
    image = jax.random.normal(jax.random.key(1), (1, size, size, 3))
    variables = random_variables(once, image.shape)
    a, b = (
        jax.jit(model.apply)(variables, image)['c2'] for model in (once, twice)
    )
    assert np.allclose(a, b, rtol=1e-5, atol=1e-5 * a.std()) == same
