import jax
import jax.numpy as jnp
import pytest

from segjax.benchmark import jax_worker
from segjax.benchmark import products
from segjax.benchmark.pairs import CLASSES
from segjax.benchmark.pairs import PAIRS


@pytest.mark.parametrize('name', PAIRS)
def test_ours_has_the_parameters_of_theirs_or_says_why_not(name):
  pair = PAIRS[name]
  system = jax_worker.create(pair.system, pair.fields, CLASSES, 'float32')
  variables = system.shapes((2, 64, 64, 3))
  count = sum(x.size for x in jax.tree.leaves(variables['params']))
  assert (count == pair.parameters) != bool(pair.differs)
  assert pair.torch or pair.keras


def test_products_count_convolutions_and_what_pads():
  image = jnp.ones((2, 8, 8, 4))

  def network(image, kernel, depthwise, matrix):
    convolve = jax.lax.conv_general_dilated
    form = {'dimension_numbers': ('NHWC', 'HWIO', 'NHWC'), 'padding': 'SAME'}
    x = convolve(image, kernel, (2, 2), **form)  # [2, 4, 4, 6]
    x = convolve(x, depthwise, (1, 1), feature_group_count=6, **form)
    x = jax.jit(jnp.dot)(x, matrix)
    return jax.lax.cond(
        x[0, 0, 0, 0] > 0, lambda x: x, lambda x: (x.mT @ x).sum() * x, x
    )

  jaxpr = jax.make_jaxpr(network)(
      image, jnp.ones((3, 3, 4, 6)), jnp.ones((3, 3, 1, 6)), jnp.ones((6, 5))
  )
  pixels = 2 * 4 * 4
  longer_branch = 5 * 5  # Rows of 4 pixels, [5, 4] times [4, 5].
  expected = 2 * pixels * (6 * 9 * 4 + 6 * 9 + 6 * 5 + longer_branch)
  assert products.count(jaxpr.jaxpr) == expected
