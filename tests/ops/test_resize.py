import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np
import pytest

from segjax import parallel
from segjax.ops import resize as ops
from segjax.ops.resize import rescale
from segjax.ops.resize import resize

SIZES = [(5, 7), (9, 13), (8, 8), (3, 2), (1, 1), (4, 21)]


def random(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def source(index, old, new, align_corners):
  """PyTorch's area_pixel_compute_source_index."""
  if align_corners:
    return index * (old - 1) / (new - 1) if new > 1 else 0.0
  return max(old / new * (index + 0.5) - 0.5, 0.0)


def reference(x, size, align_corners):
  """PyTorch's upsample_bilinear2d, pixel by pixel."""
  height, width = x.shape[1:3]
  out = np.zeros((len(x), *size, x.shape[-1]))
  for i in range(size[0]):
    y = source(i, height, size[0], align_corners)
    y0 = int(y)
    y1 = y0 + (y0 < height - 1)
    for j in range(size[1]):
      z = source(j, width, size[1], align_corners)
      z0 = int(z)
      z1 = z0 + (z0 < width - 1)
      top = (1 - z + z0) * x[:, y0, z0] + (z - z0) * x[:, y0, z1]
      bottom = (1 - z + z0) * x[:, y1, z0] + (z - z0) * x[:, y1, z1]
      out[:, i, j] = (1 - y + y0) * top + (y - y0) * bottom
  return out


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('new', SIZES)
@pytest.mark.parametrize('old', [(5, 7), (8, 4), (1, 3)])
def test_resize_equals_the_formula_of_pytorch(old, new, align_corners):
  x = random(2, *old, 3)
  np.testing.assert_allclose(
      resize(x, new, align_corners=align_corners),
      reference(x, new, align_corners),
      atol=1e-5,
  )


@pytest.mark.parametrize(
    ('old', 'align_corners', 'new'),
    [
        ([0, 1], False, [0, 0.25, 0.75, 1]),
        ([0, 1], True, [0, 1 / 3, 2 / 3, 1]),
        ([0, 1, 2, 3], False, [0.5, 2.5]),
        ([0, 1, 2, 3], True, [0, 3]),
        ([0, 1, 2, 3, 4], False, [0.75, 3.25]),
        ([0, 4], True, [0, 1, 2, 3, 4]),
    ],
)
def test_resize_equals_values_computed_by_hand(old, align_corners, new):
  row = jnp.array(old, jnp.float32)
  shapes = {(1, len(old), 1): (1, len(new)), (len(old), 1, 1): (len(new), 1)}
  for shape, size in shapes.items():
    x = row.reshape(1, *shape)
    out = resize(x, size, align_corners=align_corners)
    np.testing.assert_allclose(out.ravel(), new, atol=1e-6)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(11, 5), (2, 3)])
def test_gradient_of_resize_is_that_of_finite_differences(size, align_corners):
  check_grads(
      lambda x: resize(x, size, align_corners=align_corners),
      (random(1, 4, 6, 2),),
      order=1,
      modes=['rev'],
      atol=1e-2,
      rtol=1e-2,
  )


def test_resize_to_the_same_size_changes_nothing():
  x = random(1, 5, 6, 2)
  np.testing.assert_array_equal(resize(x, (5, 6)), x)


def test_resize_computes_in_float32_and_returns_the_type_it_got():
  x = jnp.array(random(1, 5, 6, 2), jnp.bfloat16)
  out = resize(x, (9, 9))
  assert out.dtype == jnp.bfloat16
  exact = resize(x.astype(jnp.float32), (9, 9))
  np.testing.assert_array_equal(out, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ([0, 1], [0, 0, 1, 1]),
        ([0, 1, 2], [0, 0, 1, 1, 2]),
        ([0, 1, 2, 3, 4], [0, 1, 3]),
    ],
)
def test_the_nearest_pixel_is_the_one_that_pytorch_takes(old, new):
  row = jnp.array(old, jnp.float32)
  wide = resize(row.reshape(1, 1, -1, 1), (1, len(new)), method='nearest')
  tall = resize(row.reshape(1, -1, 1, 1), (len(new), 1), method='nearest')
  assert wide.ravel().tolist() == tall.ravel().tolist() == new


def test_the_nearest_pixel_knows_no_corners():
  with pytest.raises(ValueError, match="'nearest' has no corners to align"):
    resize(random(1, 5, 6, 2), (9, 9), align_corners=True, method='nearest')


@pytest.mark.parametrize(
    ('factor', 'new'),
    [
        (0.5, [0.5, 2.5]),
        (0.75, [1 / 6, 1.5, 17 / 6]),
        (1.0, [0, 1, 2, 3, 4]),
        (2.0, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4]),
    ],
)
def test_rescale_keeps_its_factor_where_sizes_are_rounded(factor, new):
  row = jnp.arange(5, dtype=jnp.float32)
  square = jnp.broadcast_to(row, (1, 5, 5))[..., None]
  out = rescale(square, factor)[0, ..., 0]
  assert out.shape == (len(new), len(new))
  np.testing.assert_allclose(out, [new] * len(new), atol=1e-6)


@pytest.mark.parametrize('method', ops.METHODS)
@pytest.mark.parametrize('size', [(11, 5), (2, 3), (40, 40)])
def test_sums_on_a_cpu_are_the_products(monkeypatch, method, size):
  x, dy = random(2, 4, 6, 3), random(2, *size, 3)
  product, theirs = jax.vjp(lambda x: resize(x, size, method=method), x)
  monkeypatch.setattr(ops, 'SMALL', 0)
  total, ours = jax.vjp(lambda x: resize(x, size, method=method), x)
  np.testing.assert_allclose(total, product, atol=1e-5)
  np.testing.assert_allclose(ours(dy)[0], theirs(dy)[0], atol=1e-4)


@pytest.mark.parametrize(
    ('platform', 'old', 'summed'),
    [
        ('cuda', (5, 7), True),
        ('cuda', (1, 1), False),  # The gradient sums 40 pixels.
        ('tpu', (5, 7), False),
    ],
)
def test_a_gpu_sums_few_pixels_and_multiplies_by_a_matrix_else(
    platform, old, summed
):
  gradient = jax.jit(jax.grad(lambda x: resize(x, (40, 40)).sum()))
  traced = gradient.trace(random(2, *old, 3))
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert ('dot_general' not in text) == summed
  assert ('gather' in text) == summed


@pytest.mark.parametrize('platform', ['cpu', 'cuda'])
def test_images_split_by_rows_are_multiplied_by_a_matrix(monkeypatch, platform):
  monkeypatch.setattr(ops, 'SMALL', 0)
  gradient = jax.jit(jax.grad(lambda x: resize(x, (40, 40)).sum()))
  mesh = jax.sharding.AbstractMesh((1, 2), (parallel.AXIS, parallel.ROWS))
  with jax.sharding.use_abstract_mesh(mesh):
    traced = gradient.trace(random(2, 4, 6, 3))
  text = traced.lower(lowering_platforms=(platform,)).as_text()
  assert 'dot_general' in text
  assert 'gather' not in text
