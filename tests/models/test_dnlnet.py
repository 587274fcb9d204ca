import jax
import jax.numpy as jnp
import numpy as np

from segjax.models.dnlnet import DisentangledNonLocal

FEATURES, KEYS = 6, 4
LAYER = DisentangledNonLocal(KEYS, temperature=0.5)


def draw():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 4, FEATURES)).astype(np.float32)
  shapes = jax.eval_shape(lambda: LAYER.init(jax.random.key(0), x, False))
  return x, jax.tree.map(
      lambda v: rng.uniform(0.2, 1, v.shape).astype(np.float32), shapes
  )


def softmax(scores):
  weights = np.exp(scores - scores.max(-1, keepdims=True))
  return weights / weights.sum(-1, keepdims=True)


def test_pairwise_and_unary_terms_are_projected_together():
  x, variables = draw()
  params, statistics = variables['params'], variables['batch_stats']['norm']
  y = LAYER.apply(variables, x, False)

  def project(name, image):
    return image @ params[name]['kernel'][0, 0] + params[name]['bias']

  for image, result in zip(x.reshape(2, 12, -1), y, strict=True):
    query, key = (project(name, image) for name in ('query', 'key'))
    query, key = query - query.mean(0), key - key.mean(0)
    value = project('value', image)
    pairwise = softmax(query @ key.T / np.sqrt(KEYS) / 0.5) @ value
    unary = softmax(project('unary', image)[:, 0]) @ value
    z = (pairwise + unary) @ params['project']['kernel'][0, 0]
    z = (z - statistics['mean']) / np.sqrt(statistics['var'] + 1e-5)
    z = z * params['norm']['scale'] + params['norm']['bias']
    np.testing.assert_allclose(
        result.reshape(12, -1), image + z, rtol=1e-4, atol=1e-4
    )


def test_a_block_begins_as_the_identity():
  x, _ = draw()
  y, _ = LAYER.init_with_output(jax.random.key(0), x, False)
  np.testing.assert_array_equal(y, x)


def test_what_all_queries_or_all_keys_have_in_common_does_not_matter():
  x, variables = draw()
  expected = LAYER.apply(variables, x, False)
  for name in ('query', 'key'):
    variables['params'][name]['bias'] += 3.0
  np.testing.assert_allclose(
      LAYER.apply(variables, x, False), expected, rtol=1e-4, atol=1e-4
  )


def test_means_and_scores_are_float32_whatever_the_type():
  """A large common part, beside which bfloat16 would lose the differences."""
  x, variables = draw()
  cast = jax.tree.map(jnp.bfloat16, (variables, x))
  text = str(jax.make_jaxpr(lambda v, x: LAYER.apply(v, x, False))(*cast))
  products = [line for line in text.splitlines() if 'dot_general' in line]
  assert any('f32[2,12,12]' in line for line in products)
  y = LAYER.apply(*cast, False)
  assert y.dtype == jnp.bfloat16
