import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import pool


def naive(x, size):
  """The definition, cell by cell."""
  rows, cols = size
  y = np.zeros((x.shape[0], rows, cols, x.shape[-1]), np.float64)
  for i in range(rows):
    for j in range(cols):
      top, bottom = i * x.shape[1] / rows, (i + 1) * x.shape[1] / rows
      left, right = j * x.shape[2] / cols, (j + 1) * x.shape[2] / cols
      y[:, i, j] = x[
          :,
          int(np.floor(top)) : int(np.ceil(bottom)),
          int(np.floor(left)) : int(np.ceil(right)),
      ].mean((1, 2))
  return y


@pytest.mark.parametrize('size', [(7, 7), (1, 1), (2, 3), (5, 9), (10, 18)])
def test_adaptive_pooling_takes_means_over_cells(size):
  x = np.asarray(jax.random.normal(jax.random.key(0), (2, 5, 9, 3)))
  y = pool.adaptive_avg_pool(x, size)
  np.testing.assert_allclose(y, naive(x, size), atol=1e-6)


def test_adaptive_pooling_keeps_the_type():
  x = jnp.ones((1, 4, 4, 1), jnp.bfloat16)
  assert pool.adaptive_avg_pool(x, (3, 3)).dtype == jnp.bfloat16


@pytest.mark.parametrize(('side', 'stride'), [(5, 2), (9, 4), (17, 8), (3, 1)])
def test_windows_around_pixels_have_the_means_of_padded_ones(side, stride):
  x = np.random.default_rng(0).normal(size=(2, 7, 12, 3)).astype(np.float32)
  half = side // 2
  padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
  expected = [
      [
          padded[:, i : i + side, j : j + side].sum((1, 2)) / side**2
          for j in range(0, 12, stride)
      ]
      for i in range(0, 7, stride)
  ]
  y = pool.avg_pool_around(x, side, stride)
  np.testing.assert_allclose(
      y, np.moveaxis(np.array(expected), 2, 0), atol=1e-6
  )


POOLS = {
    '2x2': ((2, 2), (2, 2), ((0, 0), (0, 0))),
    '3x3, 2 apart': ((3, 3), (2, 2), ((1, 1), (1, 2))),
    '3x3, 1 apart': ((3, 3), (1, 1), ((1, 1), (1, 1))),
    '2x3': ((2, 3), (1, 2), ((0, 1), (2, 0))),
}


@pytest.mark.parametrize('case', POOLS)
def test_max_pooling_and_its_gradient_are_those_of_xla(case):
  window, strides, padding = POOLS[case]
  # Many values are equal, as after a ReLU.
  x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3)).round().clip(0)

  def xla(x):
    return jax.lax.reduce_window(
        x,
        -jnp.inf,
        jax.lax.max,
        (1, *window, 1),
        (1, *strides, 1),
        ((0, 0), *padding, (0, 0)),
    )

  y, gradient = jax.vjp(lambda x: pool.max_pool(x, window, strides, padding), x)
  expected, wanted = jax.vjp(xla, x)
  np.testing.assert_array_equal(y, expected)
  dy = jax.random.normal(jax.random.key(1), y.shape)
  np.testing.assert_allclose(gradient(dy)[0], wanted(dy)[0], atol=1e-6)


@pytest.mark.parametrize('case', POOLS)
def test_average_pooling_counts_padding_in_the_mean(case):
  window, strides, padding = POOLS[case]
  x = np.asarray(jax.random.normal(jax.random.key(0), (2, 9, 8, 3)))
  y = pool.avg_pool(x, window, strides, padding)
  padded = np.pad(x, ((0, 0), *padding, (0, 0)))
  expected = np.zeros(y.shape)
  for i, j in np.ndindex(*y.shape[1:3]):
    top, left = i * strides[0], j * strides[1]
    part = padded[:, top : top + window[0], left : left + window[1]]
    assert part.shape[1:3] == window
    expected[:, i, j] = part.mean((1, 2))
  np.testing.assert_allclose(y, expected, atol=1e-6)
  assert pool.avg_pool(jnp.bfloat16(x), window, strides).dtype == jnp.bfloat16


def test_max_pooling_of_an_accelerator_is_that_of_xla():
  x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.bfloat16)
  step = jax.jit(
      jax.grad(lambda x: pool.max_pool(x, (2, 2), (2, 2)).sum().astype(float))
  )
  text = step.trace(x).lower(lowering_platforms=('tpu',)).as_text()
  assert 'stablehlo.select_and_scatter' in text


@pytest.mark.parametrize(
    ('flags', 'scatters'),
    [
        ('', True),
        ('--xla_gpu_deterministic_ops=false', True),
        ('--xla_gpu_deterministic_ops=true', False),
        ('--a=1 --xla_gpu_exclude_nondeterministic_ops', False),
    ],
)
def test_no_scatter_is_lowered_for_a_gpu_that_is_to_repeat_itself(
    monkeypatch, flags, scatters
):
  monkeypatch.setenv('XLA_FLAGS', flags)
  gradient = jax.grad(lambda x: pool.max_pool(x, (3, 3), (2, 2)).sum())
  traced = jax.jit(gradient).trace(jnp.zeros((1, 9, 9, 2)))
  lowered = traced.lower(lowering_platforms=('cuda',)).as_text()
  assert ('select_and_scatter' in lowered) is scatters
