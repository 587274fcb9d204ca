import jax
from jax import lax
import numpy as np
import pytest

from segjax.layers.conv import ConvTranspose


@pytest.mark.parametrize(
    ('kernel', 'stride', 'padding'),
    [(2, 2, 0), (4, 2, 1), (3, 1, 1), (8, 4, 2), (5, 3, 1)],
)
def test_a_transposed_convolution_is_the_gradient_of_a_convolution(
    kernel, stride, padding
):
  layer = ConvTranspose(3, kernel, stride=stride, padding=padding, name='up')
  x = jax.random.normal(jax.random.key(0), (2, 6, 7, 4))
  variables = layer.init(jax.random.key(1), x)
  up = layer.apply(variables, x)

  def convolve(image):
    return lax.conv_general_dilated(
        image,
        variables['params']['kernel'],
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  sides = [(n - 1) * stride + kernel - 2 * padding for n in (6, 7)]
  assert up.shape == (2, *sides, 3)
  _, gradient = jax.vjp(convolve, np.zeros(up.shape, np.float32))
  np.testing.assert_allclose(up, gradient(x)[0], atol=1e-5)
