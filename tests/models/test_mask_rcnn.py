import contextlib
import importlib

import jax
import numpy as np
import pytest

from segjax import experiment
from segjax import models
from segjax.layers import two_stage
from tests import equal_steps

FIELDS = dict(
    backbone='resnet/tiny',
    levels=('c3', 'c4', 'c5'),
    pyramid_features=8,
    anchor_sizes=((16.0,), (32.0,), (48.0,)),
    box_features=8,
    mask_features=8,
    mask_depth=1,
    before=(8, 8),
    proposals=(8, 8),
    min_score=0.0,
    detections=5,
    rpn_sample=8,
    roi_sample=8,
)
C4 = dict(levels=('c4',), anchor_sizes=((16.0, 48.0),))
SHAPE = 2, 65, 97, 3
TRUTH = {
    'instance_boxes': np.array(
        [[[8, 8, 40, 40], [20, 50, 60, 90]], [[1, 1, 30, 60], [0, 0, 0, 0]]],
        np.float32,
    ),
    'instance_classes': np.array([[1, 3], [2, 255]], np.uint8),
    'instance_valid': np.array([[1, 1], [1, 0]], np.uint8),
}


def shapes(train=False, **fields):
  model = models.create('mask_rcnn', 4, **FIELDS | fields)
  streams = {'params': jax.random.key(0), 'sample': jax.random.key(1)}
  more = TRUTH if train else {}
  image = jax.ShapeDtypeStruct(SHAPE, np.float32)
  out, variables = jax.eval_shape(
      lambda x: model.init_with_output(streams, x, **more, train=train), image
  )
  return jax.tree.map(lambda x: x.shape, out), variables['params']


@pytest.mark.parametrize('fields', [{}, C4])
def test_masks_are_twice_the_bins_of_a_box(fields):
  out, params = shapes(**fields)
  # The last stage of C4 strides once more.
  side = 14 if fields else 28
  assert out['mask_logits'] == (2, 5, side, side)
  assert out['boxes'] == (2, 5, 4)
  assert ('trunk' in params) == bool(fields)
  assert ('stage4_0' in params['backbone']) != bool(fields)


def test_without_masks_it_is_faster_rcnn():
  out, params = shapes(train=True, masks=False)
  assert 'mask_logits' not in out
  assert 'roi_mask_logits' not in out
  assert 'mask_head' not in params['detector']


def test_a_pyramid_wants_anchors_for_each_level():
  with pytest.raises(ValueError, match='for 2 levels, and the pyramid has c3'):
    shapes(anchor_sizes=((16.0,), (32.0,)))


def test_the_last_level_is_as_far_apart_as_it_fits_in_whole_pixels():
  sizes = ((32.0,),) * 3
  at = [(6, 8), (3, 4), (2, 2)]
  levels = ['c4', 'c5', 'c6']
  fields = dict(roi_levels=('c4', 'c5'))
  rounded = two_stage.TwoStage(2, sizes, **fields)
  assert rounded.strides(levels, at) == [(16, 16), (32, 32), (48, 64)]
  exact = two_stage.TwoStage(2, sizes, rounded_anchors=False, **fields)
  assert exact.strides(levels, at) == [(16, 16), (32, 32), (64, 64)]


@pytest.fixture(scope='module')
def trained(random_variables):
  """What a model returns in training, twice by one key and once by another."""
  model = models.create('mask_rcnn', 4, **FIELDS)
  variables = random_variables(model, SHAPE)
  image = jax.random.normal(jax.random.key(0), SHAPE)

  @jax.jit
  def call(seed):
    rngs = {'sample': jax.random.key(seed)}
    return model.apply(
        variables,
        image,
        **TRUTH,
        train=True,
        rngs=rngs,
        mutable=['batch_stats'],
    )[0]

  return [jax.tree.map(np.asarray, call(seed)) for seed in (0, 0, 1)]


def test_boxes_to_learn_from_are_drawn_by_the_stream_of_samples(trained):
  first, again, other = (out['anchors']['chosen'] for out in trained)
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  assert ((first != 0).sum(1) == FIELDS['rpn_sample']).all()
  assert ((first > 0).sum(1) >= 1).all()


def test_boxes_to_learn_from_have_the_class_of_the_truth_they_overlap(trained):
  for rois in (out['rois'] for out in trained):
    for boxes, classes, matched, truth, kinds in zip(
        rois['boxes'],
        rois['classes'],
        rois['matched'],
        TRUTH['instance_boxes'],
        TRUTH['instance_classes'],
        strict=True,
    ):
      objects = classes > 0
      # At most a quarter are objects, and true boxes are among the candidates.
      assert 1 <= objects.sum() <= 2
      assert not objects[2:].any()
      np.testing.assert_array_equal(classes[objects], kinds[matched[objects]])
      for box, true in zip(
          boxes[objects], truth[matched[objects]], strict=True
      ):
        sides = np.minimum(box[2:], true[2:]) - np.maximum(box[:2], true[:2])
        areas = [np.prod(b[2:] - b[:2]) for b in (box, true)]
        assert sides.prod() >= 0.5 * (sum(areas) - sides.prod()) - 1e-3


def test_detections_come_by_score_and_lie_in_the_image(trained):
  for out in trained:
    scores = out['scores']
    assert (np.diff(scores) <= 0).all()
    assert (out['classes'][scores > 0] > 0).all()
    boxes = out['boxes'][scores > 0]
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= SHAPE[1:3]).all()
    shown = out['logits'].argmax(-1)
    assert set(np.unique(shown)) <= {0, *out['classes'].ravel()}


@pytest.mark.slow  # It compiles two steps of training.
def test_eight_devices_take_the_step_that_one_takes(
    random_state, cheaply_compiled
):
  config = importlib.import_module('configs.mask_rcnn').get_config()
  config.dataset.options.length = config.batch_size = 8
  config.preprocess.train = 'random_crop(64)|objects(4)|normalize'
  config.optim.optimizer = 'sgd(momentum=0.9)'
  config.optim.clip = 0.0
  config.model.update(
      levels=('c4', 'c5'),
      anchor_sizes=((24.0,), (48.0,)),
      before=(8, 8),
      proposals=(8, 8),
      # All anchors and all boxes are learnt from: devices draw differently.
      rpn_sample=2 * 3 * (4 * 4 + 2 * 2),
      roi_sample=4 * (8 + 4),
  )
  setup = experiment.training(config)
  state = random_state(jax.eval_shape(setup.init))
  with contextlib.closing(setup.batches(0)) as batches:
    batch = next(batches)
  assert batch['instance_valid'].any()
  one = equal_steps.run(setup.step, state, [batch])
  eight = equal_steps.run(setup.step, state, [batch], setup.layout)
  assert len(jax.devices()) == 8
  found = equal_steps.differences(eight, one)
  assert max(found.values()) < 1e-3, found
