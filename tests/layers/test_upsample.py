import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers.upsample import MODES
from segjax.layers.upsample import BilinearUpsample
from segjax.layers.upsample import upsample
from segjax.layers.upsample import upsample_scores
from segjax.ops.resize import resize


@pytest.mark.parametrize('mix', [True, False])
@pytest.mark.parametrize('factor', [2, 8])
def test_it_begins_as_bilinear_interpolation(factor, mix):
  x = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
  layer = BilinearUpsample(factor, padding=factor // 2, mix=mix)
  y, _ = layer.init_with_output(jax.random.key(1), x)
  expected = resize(x, (5 * factor, 7 * factor))
  assert y.shape == expected.shape
  inner = slice(factor, -factor)  # Beyond the border there is nothing.
  np.testing.assert_allclose(
      y[:, inner, inner], expected[:, inner, inner], atol=1e-5
  )


def test_a_pixel_is_stamped_with_the_kernel_as_it_is():
  x = np.zeros((1, 3, 3, 2), np.float32)
  x[0, 1, 1] = [1.0, 10.0]
  kernel = np.random.default_rng(0).normal(size=(4, 4, 2, 2))
  y = BilinearUpsample(2).apply({'params': {'kernel': jnp.asarray(kernel)}}, x)
  assert y.shape == (1, 8, 8, 2)
  np.testing.assert_allclose(
      y[0, 2:6, 2:6], kernel @ np.array([1.0, 10.0]), rtol=1e-5
  )


def test_without_mixing_a_channel_is_stamped_with_its_own_kernel():
  x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
  kernel = np.random.default_rng(1).normal(size=(6, 6, 1, 2))
  y = BilinearUpsample(3, padding=1, mix=False).apply(
      {'params': {'kernel': kernel}}, x
  )
  expected = np.zeros((12, 15, 2))
  for row, column in np.ndindex(3, 4):
    where = slice(3 * row, 3 * row + 6), slice(3 * column, 3 * column + 6)
    expected[where] += x[0, row, column] * kernel[:, :, 0]
  np.testing.assert_allclose(y[0], expected[1:-1, 1:-1], atol=1e-5)


def test_a_bias_is_there_where_it_is_asked_for():
  x = np.ones((1, 2, 2, 3), np.float32)
  assert set(BilinearUpsample(2).init(jax.random.key(0), x)['params']) == {
      'kernel'
  }
  y, variables = BilinearUpsample(2, bias=True).init_with_output(
      jax.random.key(0), x
  )
  params = variables['params']
  assert params['bias'].shape == (3,)
  shifted = BilinearUpsample(2, bias=True).apply(
      {'params': {**params, 'bias': jnp.ones(3)}}, x
  )
  np.testing.assert_allclose(shifted, y + 1)


def ones(mode, kernel, **options):
  """Returns what a layer of ones makes of ones, in the middle of a row."""
  layer = upsample(mode, 1, kernel, name='up', **options)
  x = jnp.ones((1, 12, 12, 1))
  shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
  variables = jax.tree.map(lambda s: jnp.ones(s.shape), shapes)
  return np.asarray(layer.apply(variables, x))[0, 10, 6:-6, 0]


def test_pixels_are_covered_evenly_but_by_kernel_3_and_stride_2():
  uneven = ones('transposed', 3, padding=1, output_padding=1)
  assert set(uneven) in ({1.0, 2.0}, {2.0, 4.0})
  assert set(ones('transposed', 2)) == {1.0}
  assert set(ones('transposed', 4, padding=1)) == {4.0}
  for mode in ('nearest', 'bilinear', 'subpixel'):
    (value,) = set(ones(mode, 2))
    assert value == 9.0


@pytest.mark.parametrize('mode', MODES)
def test_every_mode_doubles_the_size(mode):
  layer = upsample(mode, 5, 2, bias=True, name='up')
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 6))
  y, _ = layer.init_with_output(jax.random.key(1), x)
  assert y.shape == (2, 6, 8, 5)


def test_subpixel_convolution_begins_by_repeating_pixels():
  layer = upsample('subpixel', 3, name='up')
  x = jax.random.normal(jax.random.key(0), (1, 4, 5, 2))
  y, _ = layer.init_with_output(jax.random.key(1), x)
  y = np.asarray(y).reshape(1, 4, 2, 5, 2, 3)
  np.testing.assert_array_equal(y, y[:, :, :1, :, :1] + 0 * y)


def test_borders_are_mirrored():
  layer = upsample('nearest', 1, name='up')
  x = jnp.ones((1, 3, 3, 1))
  variables = jax.tree.map(jnp.ones_like, layer.init(jax.random.key(0), x))
  np.testing.assert_array_equal(layer.apply(variables, x), 9.0)


def test_what_is_no_upsampling_is_refused():
  with pytest.raises(ValueError, match="upsampling='bicubic' is not one of"):
    upsample('bicubic', 3, name='up')
  with pytest.raises(ValueError, match='not 2 times as large'):
    upsample('transposed', 3, 3, padding=1, name='up')


@pytest.mark.parametrize('mode', MODES)
def test_a_kernel_without_padding_makes_a_row_and_a_column_more(mode):
  layer = upsample(mode, 5, 3, name='up')
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 6))
  y, _ = layer.init_with_output(jax.random.key(1), x)
  assert y.shape == (2, 7, 9, 5)


@pytest.mark.parametrize('mode', MODES)
def test_scores_are_enlarged_to_interpolated_ones_before_training(mode):
  layer = upsample_scores(mode, 8, padding=1, bias=True, name='up')
  x = jnp.broadcast_to(jnp.arange(12.0)[:, None, None], (2, 12, 4, 3))
  y, _ = layer.init_with_output(jax.random.key(1), x)
  assert y.shape == (2, 102, 38, 3)
  # Pixel 8 n + 7 has the middle of pixel n between it and the one behind it.
  inner = np.asarray(y)[:, 10:-10, 10:-10, 0]
  rows = np.arange(102)[10:-10]
  exact = (rows + 0.5 - 7) / 8
  off = np.abs(inner - exact[:, None]).max()
  assert off < (1e-4 if mode in ('transposed', 'bilinear') else 0.501)


def test_scores_are_not_enlarged_by_steps_to_what_is_no_power_of_two():
  x = jnp.ones((1, 4, 4, 2))
  with pytest.raises(ValueError, match='powers of 2, and not by 6'):
    upsample_scores('nearest', 6, name='up').init(jax.random.key(0), x)
