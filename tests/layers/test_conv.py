import jax
from jax import lax
import numpy as np
import pytest

from segjax.layers.conv import ConvTranspose


@pytest.mark.parametrize(
    ('kernel', 'stride', 'padding', 'more'),
    [
        (2, 2, 0, 0),
        (4, 2, 1, 0),
        (3, 1, 1, 0),
        (8, 4, 2, 0),
        (5, 3, 1, 0),
        (3, 2, 1, 1),
    ],
)
def test_a_transposed_convolution_is_the_gradient_of_a_convolution(
    kernel, stride, padding, more
):
  layer = ConvTranspose(
      3,
      kernel,
      stride=stride,
      padding=padding,
      output_padding=more,
      name='up',
  )
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

  sides = [(n - 1) * stride + kernel - 2 * padding + more for n in (6, 7)]
  assert up.shape == (2, *sides, 3)
  _, gradient = jax.vjp(convolve, np.zeros(up.shape, np.float32))
  np.testing.assert_allclose(up, gradient(x)[0], atol=1e-5)
