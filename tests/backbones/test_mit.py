import jax
import numpy as np
import pytest

from segjax.backbones import mit
from tests.backbones.shapes import shapes

# Millions of parameters of the encoders, table 1 of the paper.
PUBLISHED = {'b0': 3.4, 'b1': 13.1, 'b2': 24.2}


@pytest.mark.parametrize('name', PUBLISHED)
def test_there_are_as_many_parameters_as_published(name):
  _, variables = shapes(f'mit/{name}')
  sizes = [x.size for x in jax.tree.leaves(variables['params'])]
  assert abs(sum(sizes) / 1e6 - PUBLISHED[name]) < 0.1


def test_levels_begin_at_stride_4():
  feats, _ = shapes('mit/tiny', (2, 65, 97, 3))
  assert list(feats) == ['c2', 'c3', 'c4', 'c5']
  for level, (width, feat) in enumerate(
      zip(mit.VARIANTS['tiny']['widths'], feats.values(), strict=True), 2
  ):
    stride = 2**level
    assert feat.shape == (2, -(-65 // stride), -(-97 // stride), width)


def test_class_logits_are_one_row_for_an_image():
  feats, _ = shapes('mit/tiny', (2, 33, 49, 3), num_classes=7)
  assert feats['class_logits'].shape == (2, 7)


def test_an_image_that_leaves_no_keys_is_refused():
  assert shapes('mit/tiny', (1, 29, 29, 3))[0]['c5'].shape[1:3] == (1, 1)
  with pytest.raises(ValueError, match='A map of 8 x 7 is too small'):
    shapes('mit/tiny', (1, 29, 28, 3))


def test_attention_averages_values_by_softmax_of_each_head():
  layer = mit.Attention(heads=2, reduction=1, epsilon=1e-6)
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)

  @jax.jit
  def run(x):
    variables = layer.init(jax.random.key(0), x)
    return variables['params'], layer.apply(variables, x)

  params, found = run(x)
  params = jax.tree.map(np.asarray, params)
  query, key, value = (
      (x @ params[name]['kernel']).reshape(2, 12, 2, 3)
      for name in ('query', 'key', 'value')
  )
  y = np.zeros((2, 12, 2, 3))
  for b, head in np.ndindex(2, 2):
    scores = np.exp(query[b, :, head] @ key[b, :, head].T / np.sqrt(3))
    y[b, :, head] = scores / scores.sum(1, keepdims=True) @ value[b, :, head]
  expected = y.reshape(x.shape) @ params['out']['kernel']
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_images_skip_branches_in_training_alone():
  block = mit.Block(2, 1, 4, drop_path=1.0, epsilon=1e-6, reduced_epsilon=1e-6)
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)

  @jax.jit
  def run(x):
    key = jax.random.key(0)
    variables = block.init(key, x, False)
    trained = block.apply(variables, x, True, rngs={'dropout': key})
    return trained, block.apply(variables, x, False)

  trained, evaluated = run(x)
  np.testing.assert_array_equal(trained, x)
  assert not np.allclose(evaluated, x)


def test_blocks_skip_more_often_the_deeper_they_are():
  rates = {}

  def record(call, args, kwargs, context):
    if isinstance(context.module, mit.Block):
      rates[context.module.name] = context.module.drop_path
    return call(*args, **kwargs)

  with mit.nn.intercept_methods(record):
    shapes('mit/b0', (1, 32, 32, 3))
  np.testing.assert_allclose(list(rates.values()), np.linspace(0, 0.1, 8))
  assert list(rates)[0] == 'stage1_0'
