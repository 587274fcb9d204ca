import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import experiment
from segjax import models
from segjax import system
from segjax.data.label_map import LabelMap
from segjax.layers.deform_attention import DeformAttention
from segjax.layers.deform_attention import directions
from segjax.models import mask2former
from segjax.ops.sine_position import sine_position

FIELDS = dict(
    backbone='resnet/tiny',
    features=32,
    heads=2,
    encoder_layers=1,
    encoder_inner=8,
    queries=5,
    decoder_layers=4,
    decoder_inner=8,
)
LABELS = LabelMap(
    names=('sky', 'road', 'car'),
    colors=((0, 0, 200), (90, 90, 90), (200, 0, 0)),
    ids={i: i for i in range(3)},
    things=(2,),
)


def test_queries_see_their_masks_or_all_where_these_are_empty():
  masks = np.full((1, 4, 4, 2), -1.0, np.float32)
  masks[0, :2, 2:, 0] = 1.0
  seen = mask2former.seen(jnp.asarray(masks), (2, 2))
  assert seen[0].tolist() == [[False, True, False, False], [True] * 4]


def test_layers_read_maps_of_three_strides_in_turn():
  model = models.create('mask2former', 3, **FIELDS)
  image = jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32)
  read = []

  def record(call, args, kwargs, context):
    if isinstance(context.module, mask2former.DecoderLayer):
      read.append(args[2].shape[1])
    return call(*args, **kwargs)

  with mask2former.nn.intercept_methods(record):
    jax.eval_shape(model.init, jax.random.key(0), image)
  # 65 x 97 pixels at strides 32, 16 and 8, and 32 again.
  assert read == [3 * 4, 5 * 7, 9 * 13, 3 * 4]


def test_the_panoptic_task_learns_from_objects_and_predicts_segments():
  model = models.create('mask2former', 3, **FIELDS)
  built = system.build('mask2former', model, LABELS, task='panoptic')
  shape = 2, 32, 48
  batch = {
      'image': jnp.zeros((*shape, 3)),
      'label': jnp.zeros(shape, jnp.uint8),
      'instances': jnp.zeros(shape, jnp.int32),
      'instance_classes': jnp.zeros((2, 6), jnp.uint8),
      'instance_crowds': jnp.zeros((2, 6), jnp.uint8),
  }

  def run(batch):
    key = jax.random.key(0)
    variables = model.init(key, batch['image'])
    out, _ = built.apply(variables, batch, train=True, rng=key)
    total, parts = built.loss(out, batch, key)
    predicted = built.predict(
        lambda batch, key: built.apply(variables, batch)[0], batch, key
    )
    return out, total, parts, predicted

  out, total, parts, predicted = jax.eval_shape(run, batch)
  assert out['layer_mask_logits'].shape == (5, 2, 8, 12, 5)
  assert total.shape == ()
  assert set(parts) == {'class', 'mask', 'dice'}
  assert predicted['segments'].shape == predicted['labels'].shape == shape
  assert predicted['classes'].shape == predicted['scores'].shape == (2, 5)


def test_the_task_instances_learns_from_objects_alone_and_finds_them():
  model = models.create('mask2former', 3, **FIELDS)
  built = system.build('mask2former', model, LABELS, task='instances')
  shape = 2, 32, 48
  batch = {
      'image': jnp.zeros((*shape, 3)),
      'instances': jnp.zeros(shape, jnp.int32),
      'instance_boxes': jnp.zeros((2, 6, 4)),
      'instance_classes': jnp.zeros((2, 6), jnp.uint8),
      'instance_valid': jnp.zeros((2, 6), jnp.uint8),
  }

  def run(batch):
    key = jax.random.key(0)
    variables = model.init(key, batch['image'])
    out, _ = built.apply(variables, batch, train=True, rng=key)
    total, parts = built.loss(out, batch, key)
    return (
        total,
        parts,
        built.predict(
            lambda batch, key: built.apply(variables, batch)[0], batch, key
        ),
    )

  total, parts, predicted = jax.eval_shape(run, batch)
  assert total.shape == ()
  assert set(parts) == {'class', 'mask', 'dice'}
  # Each of 5 queries may be an object of each of 3 classes.
  assert predicted['boxes'].shape == (2, 15, 4)
  assert predicted['inside'].shape == (*shape, 2)
  config = importlib.import_module('configs.mask2former').get_config(
      'nuclei,task=instances,small=True'
  )
  assert config.preprocess.train.endswith(f'|objects({config.model.queries})')


def test_what_a_bottom_up_system_learns_from_is_not_asked_for():
  config = importlib.import_module('configs.mask2former').get_config(
      'task=panoptic'
  )
  config.dataset.options.length = config.batch_size = jax.device_count()
  assert 'centers' not in config.preprocess.train
  experiment.training(config)  # Or it would say what examples lack.


def test_heads_look_in_directions_of_their_own_at_first():
  first = directions(heads=4, levels=2, points=3).reshape(4, 2, 3, 2)
  steps = np.arange(1, 4)[:, None]
  for head, way in enumerate(([1, 0], [0, 1], [-1, 0], [0, -1])):
    np.testing.assert_allclose(
        first[head], np.broadcast_to(steps * way, (2, 3, 2)), atol=1e-6
    )
  layer = DeformAttention(heads=4, points=3)
  x = np.ones((1, 5, 8), np.float32)
  params = layer.init(
      jax.random.key(0), x, x, np.zeros((5, 2), np.float32), ((2, 2), (1, 1))
  )['params']
  np.testing.assert_allclose(params['offset']['bias'], first.ravel())


@pytest.mark.parametrize(('row', 'column'), [(0, 0), (2, 1)])
def test_positions_are_waves_of_the_row_and_then_of_the_column(row, column):
  found = sine_position((3, 5), 8)[row, column]
  expected = []
  for place, side in ((row, 3), (column, 5)):
    angle = (place + 1) / side * 2 * np.pi
    for frequency in (1, 1 / 100):
      expected += [np.sin(angle * frequency), np.cos(angle * frequency)]
  np.testing.assert_allclose(found, expected, atol=1e-5)
