import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.kernels import lowerings
from segjax.kernels import winograd
from segjax.kernels.window import Window
from segjax.ops import conv

SAME = Window(padding=((1, 1), (1, 1)))  # Of 3x3.
# Shapes of an image and a kernel, a window, and how a CPU computes it.
CASES = {
    '1x1': ((2, 9, 7, 6), (1, 1, 6, 5), Window(), 'matrix'),
    '1x1 strided': ((2, 9, 7, 6), (1, 1, 6, 5), Window((2, 2)), 'matrix'),
    '1x1 to fewer': ((2, 9, 7, 6), (1, 1, 6, 2), Window(), 'matrix'),
    '1x1 padded': (
        (2, 5, 7, 6),
        (1, 1, 6, 5),
        Window(padding=((1, 0), (0, 2))),
        'plain',
    ),
    'patches': ((2, 9, 7, 3), (2, 3, 3, 5), Window((2, 3)), 'matrix'),
    'depthwise': (
        (2, 9, 7, 6),
        (3, 3, 1, 6),
        Window((2, 1), ((1, 1), (0, 2)), (1, 2), 6),
        'depthwise',
    ),
    'depthwise of a large kernel': (
        (1, 9, 9, 2),
        (8, 8, 1, 2),
        Window(padding=((4, 3), (3, 4)), groups=2),
        'plain',
    ),
    'channels twice': (
        (2, 6, 5, 3),
        (3, 3, 1, 6),
        Window(padding=((1, 1), (1, 1)), groups=3),
        'plain',
    ),
    'groups': (
        (2, 6, 5, 4),
        (3, 3, 2, 6),
        Window(padding=((1, 1), (1, 1)), groups=2),
        'plain',
    ),
    '3x3': (
        (2, 9, 7, 6),
        (3, 3, 6, 4),
        SAME,
        'plain',
    ),
    'strided': (
        (2, 9, 8, 3),
        (7, 7, 3, 4),
        Window((2, 2), ((3, 3), (3, 3))),
        'plain',
    ),
    'rate near the size': (
        (2, 9, 7, 6),
        (3, 3, 6, 4),
        Window((1, 1), ((6, 6), (5, 3)), (6, 4)),
        'shifted',
    ),
    'rate near the size, strided': (
        (2, 9, 7, 6),
        (3, 3, 6, 4),
        Window((2, 2), ((6, 6), (5, 3)), (6, 4)),
        'shifted',
    ),
    'rate beyond the size': (
        (2, 9, 7, 6),
        (3, 3, 6, 4),
        Window((2, 3), ((9, 9), (9, 9)), (9, 9)),
        'shifted',
    ),
}


def draw(*shapes, seed=0, dtype=jnp.float32):
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def xla(x, kernel, window):
  return lax.conv_general_dilated(
      x,
      kernel,
      window.strides,
      window.padding,
      rhs_dilation=window.dilation,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=window.groups,
  )


@pytest.mark.parametrize('case', CASES)
def test_every_lowering_computes_what_xla_does_and_both_gradients(case):
  image, kernel, window, lowering = CASES[case]
  assert conv.lowering(image, kernel, window) == lowering
  x, k = draw(image, kernel)
  y, ours = jax.vjp(lambda x, k: conv.conv(x, k, window), x, k)
  expected, theirs = jax.vjp(lambda x, k: xla(x, k, window), x, k)
  assert y.shape[1:3] == window.size(image, kernel)
  np.testing.assert_allclose(y, expected, atol=2e-5)
  (dy,) = draw(y.shape, seed=1)
  for a, b in zip(ours(dy), theirs(dy), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize('case', CASES)
def test_the_transpose_is_the_gradient_to_the_input_with_gradients(case):
  image, kernel, window, _ = CASES[case]
  x, k = draw((2, *window.size(image, kernel), kernel[-1]), kernel)
  if len(x) != image[0]:
    x = x[: image[0]]

  def theirs(x, k):
    like = jnp.zeros(image, x.dtype)
    return jax.vjp(lambda image: xla(image, k, window), like)[1](x)[0]

  y, gradients = jax.vjp(
      lambda x, k: conv.transpose(x, k, window, image[1:3]), x, k
  )
  expected, wanted = jax.vjp(theirs, x, k)
  np.testing.assert_allclose(y, expected, atol=2e-5)
  (dy,) = draw(image, seed=1)
  for a, b in zip(gradients(dy), wanted(dy), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(
    ('window', 'lowering'),
    [
        (Window((1, 1), ((2, 2), (1, 3)), (2, 2)), 'batched'),
        (Window((1, 1), ((0, 3), (2, 0)), (3, 2)), 'batched'),
        (Window((1, 1), ((6, 6), (5, 3)), (6, 4)), 'shifted'),
        (Window((2, 2), ((2, 2), (2, 2)), (2, 2)), 'plain'),
        (Window((1, 1), ((1, 1), (1, 1))), 'plain'),
    ],
)
def test_gradients_of_kernels_on_gpus_are_those_of_xla(window, lowering):
  image, kernel = (2, 19, 17, 6), (3, 3, 6, 4)
  if lowering == 'shifted':
    image = (2, 9, 7, 6)
  assert conv.gpu_lowering(image, window, kernel) == lowering
  x, dy = draw(image, (2, *window.size(image, kernel), kernel[-1]))
  gradient = conv.KERNEL_GRADIENT[lowering](x, dy, window, kernel)
  _, theirs = jax.vjp(lambda k: xla(x, k, window), jnp.zeros(kernel))
  np.testing.assert_allclose(gradient, theirs(dy)[0], atol=2e-4)


@pytest.mark.parametrize(
    'window',
    [
        SAME,
        Window((1, 1), ((2, 2), (3, 3)), (2, 3)),
        Window((1, 1), ((0, 3), (1, 0)), (2, 1)),
    ],
)
@pytest.mark.parametrize('features', [2, 4])  # Fewer than channels, and more.
def test_the_way_of_winograd_gives_the_numbers_of_xla(window, features):
  image, kernel = (2, 10, 9, 3), (3, 3, 3, features)
  x, k = draw(image, kernel)
  assert winograd.fits(kernel, window)
  y, gradients = jax.vjp(lambda x, k: xla(x, k, window), x, k)
  np.testing.assert_allclose(winograd.forward(x, k, window), y, atol=2e-5)
  (dy,) = draw(y.shape, seed=1)
  ours = (
      winograd.input_gradient(dy, k, window, image),
      winograd.kernel_gradient(x, dy, window, kernel),
  )
  for a, b in zip(ours, gradients(dy), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(
    ('image', 'kernel', 'window', 'lowering'),
    [
        ((2, 65, 65, 64), (3, 3, 64, 64), SAME, 'winograd'),
        ((1, 33, 33, 64), (3, 3, 64, 64), SAME, 'plain'),
        ((2, 65, 65, 32), (3, 3, 32, 512), SAME, 'winograd'),
        ((2, 65, 65, 24), (3, 3, 24, 512), SAME, 'plain'),
        ((2, 257, 257, 24), (3, 3, 24, 16), SAME, 'paired'),
        ((2, 257, 257, 32), (3, 3, 32, 16), SAME, 'plain'),
        ((2, 257, 257, 8), (3, 3, 8, 16), SAME, 'plain'),
        (
            (2, 257, 257, 16),
            (3, 3, 16, 16),
            Window((1, 1), ((2, 2), (2, 2)), (2, 2)),
            'plain',
        ),
        ((4, 65, 65, 64), (3, 3, 64, 64), Window((2, 2)), 'plain'),
        # The gradient to the input would pad by less than nothing.
        (
            (2, 65, 65, 64),
            (3, 3, 64, 64),
            Window(padding=((1, 3), (1, 1))),
            'plain',
        ),
    ],
)
def test_the_way_of_winograd_is_for_many_channels_and_much_work(
    image, kernel, window, lowering
):
  assert conv.lowering(image, kernel, window) == lowering


@pytest.mark.parametrize(
    'window',
    [
        SAME,
        Window(padding=((0, 2), (1, 0))),
        Window(padding=((2, 2), (2, 1))),
    ],
)
@pytest.mark.parametrize('width', [8, 9])
def test_two_columns_at_once_give_the_numbers_of_xla(window, width):
  image, kernel = (2, 10, width, 3), (3, 3, 3, 5)
  x, k = draw(image, kernel)
  y, gradients = jax.vjp(lambda x: xla(x, k, window), x)
  np.testing.assert_allclose(lowerings.paired(x, k, window), y, atol=2e-5)
  (dy,) = draw(y.shape, seed=1)
  np.testing.assert_allclose(
      lowerings.paired_gradient(dy, k, window, image),
      gradients(dy)[0],
      atol=1e-4,
  )


def test_few_channels_of_a_large_image_are_computed_by_two_columns():
  image, kernel = (2, 256, 256, 16), (3, 3, 16, 21)
  assert conv.lowering(image, kernel, SAME) == 'paired'
  x, k = draw(image, kernel)
  y, gradients = jax.vjp(lambda x, k: xla(x, k, SAME), x, k)
  ours, back = jax.vjp(lambda x, k: conv.conv(x, k, SAME), x, k)
  np.testing.assert_allclose(ours, y, atol=2e-4)
  (dy,) = draw(y.shape, seed=1)
  for a, b in zip(back(dy), gradients(dy), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_gradients_to_kernels_go_the_way_of_winograd_from_fewer_channels_on():
  shapes = (2, 65, 65, 24), (3, 3, 24, 512), SAME
  assert conv.lowering(*shapes, fewest=16) == 'winograd'


@pytest.mark.parametrize('case', ['1x1', 'depthwise', 'rate near the size'])
def test_sums_over_taps_are_not_rounded_to_bfloat16_in_between(case):
  image, kernel, window, _ = CASES[case]
  x, k = draw(image, kernel, dtype=jnp.bfloat16)
  y = conv.conv(x, k, window)
  assert y.dtype == jnp.bfloat16
  exact = xla(x.astype(jnp.float32), k.astype(jnp.float32), window)
  np.testing.assert_allclose(
      y.astype(jnp.float32), exact, atol=1e-3, rtol=2**-8
  )


def program(platform, image, kernel, window):
  like = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (image, kernel)]
  traced = jax.jit(lambda x, k: conv.conv(x, k, window)).trace(*like)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
@pytest.mark.parametrize('case', ['1x1', 'depthwise', 'rate near the size'])
def test_accelerators_get_the_convolution_of_xla(platform, case):
  text = program(platform, *CASES[case][:3])
  assert text.count('stablehlo.convolution') == 1
  assert 'stablehlo.dot_general' not in text


def test_a_cpu_gets_it_where_told_to():
  case = CASES['1x1'][:3]
  assert 'stablehlo.dot_general' in program('cpu', *case)
  with conv.plain():
    assert 'stablehlo.convolution' in program('cpu', *case)
  assert 'stablehlo.dot_general' in program('cpu', *case)


def test_taps_that_see_padding_alone_are_not_computed():
  window = Window((1, 1), ((36, 36), (36, 36)), (36, 36))
  text = program('cpu', (1, 33, 33, 8), (3, 3, 8, 4), window)
  assert text.count('stablehlo.dot_general') == 1


def test_what_no_system_asks_for_is_refused():
  x, k = draw((1, 5, 5, 2), (3, 3, 2, 2))
  with pytest.raises(ValueError, match='input that is not dilated'):
    conv.conv_general_dilated(
        x,
        k,
        (1, 1),
        'SAME',
        lhs_dilation=(2, 2),
        rhs_dilation=(1, 1),
        dimension_numbers=lax.conv_dimension_numbers(
            x.shape, k.shape, lowerings.LAYOUT
        ),
        feature_group_count=1,
        precision=None,
    )
