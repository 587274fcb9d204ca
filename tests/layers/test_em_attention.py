import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax.layers.em_attention import EMAttention

BASES = 3
RULES = pytest.mark.parametrize('unit_mean', [True, False])


@pytest.fixture
def x():
  return jax.random.normal(jax.random.key(0), (8, 4, 5, 6))


@pytest.fixture
def variables(x):
  return EMAttention(BASES).init(jax.random.key(1), x, True)


def unit(bases):
  return bases / np.linalg.norm(bases, axis=0)


def image_bases(image, bases, steps=3):
  """The bases of an image [H, W, C], and its pixels made of them."""
  pixels = np.float64(image).reshape(-1, image.shape[-1])
  for _ in range(steps):
    share = np.exp(pixels @ bases)
    share /= share.sum(1, keepdims=True)
    bases = unit(pixels.T @ (share / share.sum(0)))
  return bases, (share @ bases.T).reshape(image.shape)


def train(variables, x, unit_mean=True):
  layer = EMAttention(BASES, unit_mean=unit_mean)
  return layer.apply(variables, x, True, mutable=['moving'])


def moved(variables, x, unit_mean):
  _, moving = train(variables, x, unit_mean)
  return moving


def test_bases_have_length_1_at_first(variables):
  (bases,) = jax.tree.leaves(variables)
  assert bases.shape == (6, BASES)
  np.testing.assert_allclose(np.linalg.norm(bases, axis=0), 1, rtol=1e-6)


@RULES
def test_an_image_is_made_of_its_bases_and_moving_ones_follow(
    x, variables, unit_mean
):
  start = np.float64(variables['moving']['bases'])
  expected = [image_bases(image, start) for image in x]
  (rebuilt, bases), moving = train(variables, x, unit_mean)
  for i, (theirs, pixels) in enumerate(expected):
    np.testing.assert_allclose(bases[i], theirs, atol=1e-5)
    np.testing.assert_allclose(rebuilt[i], pixels, atol=1e-5)
  mean = np.mean([theirs for theirs, _ in expected], axis=0)
  mean = unit(mean) if unit_mean else mean
  np.testing.assert_allclose(
      moving['moving']['bases'], 0.9 * start + 0.1 * mean, atol=1e-5
  )


def test_evaluation_leaves_the_moving_bases(x, variables):
  layer = EMAttention(BASES)
  out, kept = layer.apply(variables, x, False, mutable=['moving'])
  jax.tree.map(np.testing.assert_array_equal, kept, variables)
  trained, _ = train(variables, x)
  jax.tree.map(np.testing.assert_array_equal, out, trained)


def test_nothing_has_a_gradient(x, variables):
  gradient = jax.grad(lambda x: train(variables, x)[0][0].sum())(x)
  np.testing.assert_array_equal(gradient, 0)


@RULES
@pytest.mark.parametrize('devices', [2, 8])
def test_moving_bases_are_those_of_the_batch_of_all_devices(
    x, variables, devices, unit_mean
):
  expected = jax.jit(moved, static_argnums=2)(variables, x, unit_mean)
  parts = x.reshape(devices, -1, *x.shape[1:])

  def local(variables, x):
    return moved(variables, x, unit_mean)

  mapped = jax.pmap(
      local,
      parallel.AXIS,
      in_axes=(None, 0),
      devices=jax.devices()[:devices],
  )(variables, parts)
  for i in range(devices):
    jax.tree.map(
        lambda ours, theirs, i=i: np.testing.assert_allclose(
            ours[i], theirs, atol=1e-6
        ),
        mapped,
        expected,
    )


@RULES
@pytest.mark.parametrize('mesh', [(8, 1), (2, 4)])
def test_a_mesh_moves_bases_as_one_device_does(x, variables, mesh, unit_mean):
  x = jnp.tile(x, (1, 64, 1, 1))  # Rows that split over devices.
  expected = jax.jit(moved, static_argnums=2)(variables, x, unit_mean)

  def forward(variables, batch):
    image = batch['image']
    bases = moved(variables, image, unit_mean)['moving']['bases']
    return {'bases': jnp.broadcast_to(bases, (len(image), *bases.shape))}

  layout = parallel.Layout('jit', mesh)
  found = layout.compile_forward(forward)(variables, {'image': x})
  for bases in found['bases']:
    np.testing.assert_allclose(bases, expected['moving']['bases'], atol=1e-6)


def test_in_bfloat16_the_moving_bases_stay_float32(x, variables):
  (rebuilt, _), moving = train(variables, x.astype(jnp.bfloat16))
  (exact, _), expected = train(variables, x)
  assert rebuilt.dtype == jnp.bfloat16
  assert moving['moving']['bases'].dtype == jnp.float32
  np.testing.assert_allclose(
      moving['moving']['bases'], expected['moving']['bases'], atol=2e-3
  )
  np.testing.assert_allclose(np.float32(rebuilt), exact, atol=0.05)
