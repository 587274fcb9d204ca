import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.kernels import winograd
from segjax.ops import conv
from segjax.ops.resize_conv import resize_conv

# Shapes of an image, of what is joined to it and of a kernel: work enough for
# a CPU not to repeat pixels.
LARGE = ((1, 64, 64, 32), (1, 128, 128, 16), (3, 3, 48, 64))


def draw(*shapes, dtype=jnp.float32):
  rng = np.random.default_rng(0)
  return [
      shape and jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes
  ]


def definition(x, skip, kernel, size):
  index = [
      jnp.arange(new) * old // new
      for old, new in zip(x.shape[1:3], size, strict=True)
  ]
  x = x[:, index[0]][:, :, index[1]]
  if skip is not None:
    x = jnp.concatenate([x, skip], -1)
  return lax.conv_general_dilated(
      x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


@pytest.mark.parametrize(
    ('image', 'skip', 'kernel', 'size'),
    [
        (*LARGE, (128, 128)),
        ((1, 64, 64, 32), None, (3, 3, 32, 64), (128, 128)),
        ((2, 128, 96, 32), None, (3, 3, 32, 16), (256, 192)),
        ((2, 5, 4, 6), (2, 10, 8, 3), (3, 3, 9, 4), (10, 8)),
        ((2, 5, 4, 6), (2, 9, 7, 3), (3, 3, 9, 4), (9, 7)),
        ((2, 4, 4, 6), None, (3, 3, 6, 4), (16, 16)),
    ],
)
def test_it_convolves_repeated_pixels_and_has_both_gradients(
    image, skip, kernel, size
):
  arrays = draw(image, skip, kernel)

  def by(way):
    return jax.vjp(lambda *args: way(*args, size), *arrays)

  y, ours = by(resize_conv)
  expected, theirs = by(definition)
  np.testing.assert_allclose(y, expected, atol=2e-4)
  (dy,) = draw(y.shape)
  for a, b in zip(ours(dy), theirs(dy), strict=True):
    if b is None:
      assert a is None
    else:
      np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max())


def test_bfloat16_is_rounded_once():
  x, kernel = draw((1, 6, 5, 4), (3, 3, 4, 2), dtype=jnp.bfloat16)
  y = winograd.repeated(x, kernel)
  assert y.dtype == jnp.bfloat16
  wide = [a.astype(jnp.float32) for a in (x, kernel)]
  exact = definition(wide[0], None, wide[1], (12, 10))
  np.testing.assert_allclose(
      y.astype(jnp.float32), exact, atol=1e-3, rtol=2**-8
  )


def program(platform):
  like = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in LARGE]
  traced = jax.jit(lambda *args: resize_conv(*args, (128, 128))).trace(*like)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_accelerators_join_images_and_convolve_once(platform):
  text = program(platform)
  assert text.count('stablehlo.convolution') == 1
  assert text.count('stablehlo.concatenate') == 1
  assert 'stablehlo.dot_general' not in text


def test_a_cpu_takes_9_products_unless_told_to_be_plain():
  with conv.plain():
    text = program('cpu')
  assert text.count('stablehlo.convolution') == 1
  assert 'stablehlo.dot_general' not in text
  text = program('cpu')
  assert text.count('stablehlo.dot_general') == 9
  assert text.count('stablehlo.convolution') == 1  # Of what is joined.
