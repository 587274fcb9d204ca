import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import gaussian

RNG = np.random.default_rng(0)


def manual(feats, x):
  """The sum over all pairs, in float64."""
  f = feats.reshape(-1, feats.shape[-1]).astype(np.float64)
  weight = np.exp(-0.5 * np.square(f[:, None] - f).sum(-1))
  return (weight @ x.reshape(len(f), -1)).reshape(x.shape)


@pytest.mark.parametrize('size', [(13, 70), (65, 9), (1, 1)])
@pytest.mark.parametrize('width', [0.5, 3.0, 40.0])
def test_spatial_sums_over_all_pairs(size, width):
  x = RNG.random((*size, 2), np.float32)
  positions = np.moveaxis(np.mgrid[: size[0], : size[1]], 0, -1) / width
  expected = manual(positions, x)
  ours = gaussian.spatial(width)(x)
  np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize('block', [1, 100, 2**24])
def test_all_pairs_in_blocks_of_any_size(block, monkeypatch):
  monkeypatch.setattr(gaussian, 'BLOCK', block)
  feats = RNG.normal(size=(7, 9, 4)).astype(np.float32)
  x = RNG.random((7, 9, 3), np.float32)
  np.testing.assert_allclose(
      gaussian.all_pairs(feats)(x), manual(feats, x), rtol=1e-5
  )


def test_the_gradient_is_the_filter_itself_and_features_have_none():
  feats = RNG.normal(size=(6, 5, 4)).astype(np.float32)
  x, y = RNG.random((2, 6, 5, 3), np.float32)
  to_feats, to_x = jax.grad(
      lambda feats, x: jnp.vdot(y, gaussian.all_pairs(feats)(x)), (0, 1)
  )(feats, x)
  np.testing.assert_allclose(to_x, manual(feats, y), rtol=1e-5)
  assert not to_feats.any()
