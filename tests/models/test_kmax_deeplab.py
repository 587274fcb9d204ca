import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.models import kmax_deeplab

FIELDS = dict(
    backbone='resnet/tiny',
    queries=6,
    filters=(16, 8, 8, 8),
    depths=(1, 1, 1, 1),
    layers=(1, 0, 1),
    features=16,
    expansion=8,
)
IMAGE = jax.ShapeDtypeStruct((2, 66, 97, 3), np.float32)


def outputs(train, **fields):
  model = models.create('kmax_deeplab', 3, **{**FIELDS, **fields})
  variables = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
  return jax.eval_shape(
      lambda v, x: model.apply(
          v,
          x,
          train=train,
          rngs={'dropout': jax.random.key(0)},
          mutable=['batch_stats'],
      )[0],
      variables,
      IMAGE,
  )


def test_each_layer_and_the_last_map_predict_in_training():
  out = outputs(True)
  assert out['class_logits'].shape == (2, 6, 4)
  assert out['mask_logits'].shape == (2, 17, 25, 6)
  assert out['layer_class_logits'].shape == (3, 2, 6, 4)
  assert out['layer_mask_logits'].shape == (3, 2, 17, 25, 6)
  assert out['layer_pixel_features'].shape == (3, 2, 17, 25, 8)
  assert out['semantic_logits'].shape == (2, 17, 25, 4)
  assert not {name for name in outputs(False) if 'layer' in name}


def test_a_fifth_map_reads_the_pooled_stem_and_the_last_one_predicts():
  fields = dict(
      levels=('c5', 'c4', 'c3', 'pooled', 'c2'),
      filters=(16, 8, 8, 8, 4),
      depths=(1, 1, 1, 1, 1),
      kinds=('axial', 'axial', 'bottleneck', 'bottleneck', 'bottleneck'),
      semantic_decoder=False,
  )
  out = outputs(True, **fields)
  assert out['mask_logits'].shape == (2, 17, 25, 6)
  assert out['layer_mask_logits'].shape == (3, 2, 17, 25, 6)
  # The auxiliary head predicts at stride 32, and none for no segment.
  assert out['semantic_logits'].shape == (2, 3, 4, 3)
  model = models.create('kmax_deeplab', 3, **{**FIELDS, **fields})
  params = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
  norm = params['pixel_decoder']['norm_pooled']['scale']
  stem = params['backbone']['stem']['conv']['kernel']
  assert norm.shape == stem.shape[-1:]
  depthwise = params['predictor']['pixel']['depthwise']['conv']['kernel']
  assert depthwise.shape[-1] == 16  # Four times the last filters.


def test_the_whole_map_of_the_auxiliary_head_counts_without_samples():
  batch = {
      'label': jnp.asarray(np.arange(256).reshape(1, 16, 16) % 3, jnp.uint8),
      'instances': jnp.zeros((1, 16, 16), int),
      'instance_classes': jnp.full((1, 1), 255, jnp.uint8),
      'instance_crowds': jnp.zeros((1, 1), jnp.uint8),
  }
  rng = np.random.default_rng(0)
  semantic = rng.normal(size=(1, 2, 2, 3)).astype(np.float32)
  out = {
      'layer_class_logits': jnp.zeros((1, 1, 4, 4)),
      'layer_mask_logits': jnp.zeros((1, 1, 4, 4, 4)),
      'layer_pixel_features': jnp.ones((1, 1, 4, 4, 1)),
      'semantic_logits': jnp.asarray(semantic),
  }
  _, parts = kmax_deeplab.loss(
      out, batch, jax.random.key(0), base=None, samples=4, semantic_samples=0
  )
  label = np.asarray(batch['label'])[0, ::8, ::8]
  logs = np.asarray(jax.nn.log_softmax(semantic[0]))
  expected = -np.take_along_axis(logs, label[..., None].astype(int), 2).mean()
  assert float(parts['semantic']) == pytest.approx(expected, rel=1e-5)


def test_a_query_moves_by_the_pixels_that_fit_it_best():
  layer = kmax_deeplab.KMeansLayer(2, features=16, expansion=8)
  pixels = jax.random.normal(jax.random.key(0), (1, 3, 4, 5))
  queries = jax.random.normal(jax.random.key(1), (1, 6, 16))
  variables = layer.init(jax.random.key(2), pixels, queries, False)
  # The scales of what is added are 0 at first: only clusters move queries.
  params = variables['params']
  params['cluster']['norm']['scale'] = jnp.ones(16)
  (moved, (_, masks, _)), captured = layer.apply(
      variables, pixels, queries, False, capture_intermediates=True
  )
  values = captured['intermediates']['value']['__call__'][0]
  best = np.asarray(masks.argmax(-1))
  sums = np.zeros((6, 16))
  for q in range(6):
    sums[q] = np.asarray(values)[best == q].sum(0)
  std = np.sqrt(1 + 1e-3)
  update = (sums / std) @ params['cluster']['dense']['kernel'] / std
  gelu = kmax_deeplab.gelu
  np.testing.assert_allclose(
      moved[0], gelu(gelu(queries[0] + update)), rtol=1e-4, atol=1e-4
  )


@pytest.mark.parametrize('width', [8, 9])
def test_corners_are_aligned_in_maps_of_odd_width(width):
  x = jnp.arange(5.0).reshape(1, 1, 5, 1)
  y = kmax_deeplab.enlarge(x, (1, width))[0, 0, :, 0]
  if width % 2:
    np.testing.assert_allclose(y, np.linspace(0, 4, 9), atol=1e-6)
  else:
    assert y[1] != pytest.approx(4 / 7)


def test_the_order_of_queries_does_not_matter_and_wrong_ones_cost():
  label = np.zeros((1, 16, 16), np.uint8)
  label[:, :, 8:] = 1
  batch = {
      'label': jnp.asarray(label),
      'instances': jnp.asarray(label.astype(np.int32)),
      'instance_classes': jnp.array([[1]], jnp.uint8),
      'instance_crowds': jnp.array([[0]], jnp.uint8),
  }
  small = label[:, ::4, ::4]

  def out(order, sign=1.0):
    masks = 20 * sign * np.stack([small == 0, small == 1, small == 9], -1)
    classes = 20 * sign * np.eye(3)
    features = np.stack([small == 0, small == 1], -1) * 1.0
    return {
        'layer_class_logits': jnp.asarray(classes[order])[None, None],
        'layer_mask_logits': jnp.asarray(masks[..., order])[None],
        'layer_pixel_features': jnp.asarray(features)[None],
        'semantic_logits': jnp.asarray(masks),
    }

  def value(out):
    rng = jax.random.key(0)
    return kmax_deeplab.loss(out, batch, rng, base=None, samples=16)[0]

  value = jax.jit(value)
  good = float(value(out([0, 1, 2])))
  assert float(value(out([2, 0, 1]))) == pytest.approx(good, rel=1e-4)
  assert value(out([0, 1, 2], sign=-1.0)) > good + 5
