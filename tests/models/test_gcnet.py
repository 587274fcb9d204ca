import jax
import numpy as np

from segjax.models.gcnet import GlobalContext

FEATURES, HIDDEN = 6, 4
LAYER = GlobalContext(HIDDEN)


def draw():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 4, FEATURES)).astype(np.float32)
  shapes = jax.eval_shape(LAYER.init, jax.random.key(0), x)
  return x, jax.tree.map(
      lambda v: rng.normal(size=v.shape).astype(np.float32), shapes
  )


def test_one_weighted_mean_is_transformed_and_added_everywhere():
  x, variables = draw()
  params = variables['params']
  y = LAYER.apply(variables, x)
  for image, result in zip(x.reshape(2, 12, -1), y, strict=True):
    scores = image @ params['attention']['kernel'][0, 0, :, 0]
    weights = np.exp(scores) / np.exp(scores).sum()
    z = weights @ image @ params['squeeze']['kernel']
    z += params['squeeze']['bias']
    z = (z - z.mean()) / np.sqrt(z.var() + 1e-5)
    z = np.maximum(z * params['norm']['scale'] + params['norm']['bias'], 0)
    z = z @ params['expand']['kernel'] + params['expand']['bias']
    np.testing.assert_allclose(
        result.reshape(12, -1), image + z, rtol=1e-4, atol=1e-4
    )


def test_a_block_begins_as_the_identity():
  x, _ = draw()
  y, _ = LAYER.init_with_output(jax.random.key(0), x)
  np.testing.assert_array_equal(y, x)
