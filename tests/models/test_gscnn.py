import importlib

import jax
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.models import gscnn
from segjax.models.gscnn import Gate

CLASSES = 4
TINY = dict(
    backbone='resnet38/tiny(output_stride=8, final_norm=False)',
    shape_features=(4, 4, 4),
    features=8,
    rates=(1, 2),
    low_features=4,
)


def test_a_closed_gate_passes_features_and_an_open_one_doubles_them():
  x = jax.random.normal(jax.random.key(0), (1, 5, 6, 3))
  side = jnp.ones((1, 5, 6, 1))
  gate = Gate()
  variables = gate.init(jax.random.key(1), x, side, False)
  kernel = variables['params']['project']['kernel'][0, 0]
  for bias, factor in ((-100.0, 1), (100.0, 2)):
    variables['params']['norm2']['bias'] = jnp.full((1,), bias)
    np.testing.assert_allclose(
        gate.apply(variables, x, side, False), factor * x @ kernel, atol=1e-5
    )


def test_edges_of_the_image_change_the_classes(random_variables):
  model = models.create('gscnn', CLASSES, **TINY)
  image = jax.random.normal(jax.random.key(0), (1, 41, 33, 3))
  variables = random_variables(model, image.shape)
  apply = jax.jit(model.apply)
  without = apply(variables, image, np.zeros((1, 41, 33), np.float32))
  edges = np.zeros((1, 41, 33), np.float32)
  edges[:, 10:30, 8:24] = 255
  with_edges = apply(variables, image, edges)
  np.testing.assert_array_equal(with_edges['edge'], without['edge'])
  assert np.abs(with_edges['logits'] - without['logits']).max() > 1e-3


def test_a_resnet_begins_the_shape_stream_at_its_first_level():
  model = models.create(
      'gscnn', CLASSES, **{**TINY, 'backbone': 'resnet/tiny'}, first_level='c1'
  )
  image = jax.ShapeDtypeStruct((1, 64, 48, 3), jnp.float32)
  canny = jax.ShapeDtypeStruct((1, 64, 48), jnp.float32)
  out, _ = jax.eval_shape(
      model.init_with_output, jax.random.key(0), image, canny
  )
  assert out['edge'].shape == (1, 64, 48, 1)
  assert out['logits'].shape == (1, 64, 48, CLASSES)


def test_the_losses_are_added_with_their_factors():
  rng = np.random.default_rng(0)
  out = {
      'logits': rng.normal(size=(2, 7, 9, CLASSES)).astype(np.float32),
      'edge': rng.uniform(size=(2, 7, 9, 1)).astype(np.float32),
  }
  batch = {'label': rng.integers(0, CLASSES, (2, 7, 9)).astype(np.uint8)}

  def count_labels(out, batch, rng):
    """A loss of the task: the number of pixels that count."""
    del out, rng
    return (batch['label'] != 255).sum(), {'labels': 1.0}

  def loss(key, **weights):
    key = jax.random.key(key)
    return gscnn.loss(out, batch, key, base=count_labels, **weights)

  total, parts = loss(0)
  assert parts['edge_attention'] == (out['edge'] > 0.8).sum()
  added = parts['edge_attention'] + parts['dual_task']
  everywhere = batch['label'].size
  np.testing.assert_allclose(
      total, everywhere + 20 * parts['edge'] + added, rtol=1e-6
  )
  total, _ = loss(0, edge_weight=1.0, attention_weight=0.0, dual_weight=0.5)
  np.testing.assert_allclose(
      total,
      everywhere + parts['edge'] + 0.5 * parts['dual_task'],
      rtol=1e-6,
  )
  _, other = loss(1)
  assert other['edge'] == parts['edge']
  assert other['dual_task'] != parts['dual_task']


def test_on_cityscapes_canny_looks_at_normalised_images():
  module = importlib.import_module('configs.gscnn')
  preprocess = module.get_config('cityscapes').preprocess
  assert preprocess.train.endswith('normalize|canny')
  assert preprocess.eval == 'normalize|canny'
  preprocess = module.get_config().preprocess
  assert preprocess.eval == 'canny|normalize'
