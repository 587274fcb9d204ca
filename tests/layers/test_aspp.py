import jax
import numpy as np

from segjax.layers.aspp import ASPP


def test_the_order_of_branches_is_that_of_the_projection():
  image = jax.random.normal(jax.random.key(0), (2, 9, 13, 6))
  last = ASPP(4, (1, 2))
  first = ASPP(4, (1, 2), image_first=True)
  variables = last.init(jax.random.key(1), image, False)
  expected = last.apply(variables, image, False)

  projection = variables['params']['project']['conv']
  # Of four branches, the image's comes before the others.
  projection['kernel'] = np.roll(projection['kernel'], 4, axis=2)
  np.testing.assert_allclose(
      first.apply(variables, image, False), expected, atol=1e-6
  )


def test_separable_branches_filter_each_channel_alone():
  image = np.zeros((1, 9, 13, 6), np.float32)
  variables = ASPP(4, (1, 2), separable=True).init(
      jax.random.key(0), image, False
  )
  branch = variables['params']['atrous2']
  assert branch['depthwise']['conv']['kernel'].shape == (3, 3, 1, 6)
  assert branch['pointwise']['conv']['kernel'].shape == (1, 1, 6, 4)


def test_without_a_kernel_the_branches_are_not_projected():
  image = jax.random.normal(jax.random.key(0), (2, 9, 13, 6))
  whole = ASPP(4, (1, 2))
  variables = whole.init(jax.random.key(1), image, False)
  _, inner = whole.apply(
      variables, image, False, capture_intermediates=True, mutable=True
  )
  del variables['params']['project'], variables['batch_stats']['project']
  branches = ASPP(4, (1, 2), project_kernel=0).apply(variables, image, False)
  assert branches.shape == (2, 9, 13, 16)
  point = inner['intermediates']['point']['__call__'][0]
  np.testing.assert_array_equal(branches[..., :4], point)
