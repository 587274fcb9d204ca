import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers import point_masks
from segjax.ops.resize import resize
from segjax.tasks import instances

CLASSES = 3
SIZE = 32, 48
BOXES = jnp.array([[[4.0, 8.0, 20.0, 40.0], [0.0, 0.0, 32.0, 48.0]]])
KINDS = jnp.array([[1, 2]])
DETECTOR = dict(
    backbone='resnet/tiny',
    levels=('c2', 'c3'),
    anchor_sizes=((16.0,), (32.0,)),
    pyramid_features=8,
    box_features=8,
    mask_features=8,
    before=(20, 20),
    proposals=(10, 10),
    detections=4,
    rpn_sample=16,
    roi_sample=16,
)


def test_points_of_a_box_lie_in_it():
  points = jnp.array([[[[0.0, 0.0], [1.0, 0.5]], [[0.25, 1.0], [0.5, 0.5]]]])
  found = np.asarray(point_masks.in_image(points, BOXES, SIZE)) * (48, 32)
  expected = [[[8, 4], [40, 12]], [[12, 32], [24, 16]]]
  np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_only_the_most_uncertain_places_are_scored_anew():
  head = point_masks.PointMasks(
      CLASSES, features=8, hidden=8, subdivision_points=20, steps=1
  )
  fine = jax.random.normal(jax.random.key(0), (1, 8, 12, 4))
  coarse = jax.random.normal(jax.random.key(1), (1, 2, 7, 7, CLASSES))

  def run(head):
    head(fine, BOXES, SIZE, False)  # Has all parameters made.
    return head.refine(fine, coarse, BOXES, KINDS, SIZE)

  variables = head.init(jax.random.key(2), method=run)
  masks = np.asarray(head.apply(variables, method=run))
  assert masks.shape == (1, 2, 14, 14)
  for i, kind in enumerate((1, 2)):
    enlarged = resize(coarse[0, i, None, ..., kind : kind + 1], (14, 14))
    enlarged = np.asarray(enlarged)[0, ..., 0]
    changed = masks[0, i] != enlarged
    assert 0 < changed.sum() <= 20
    least = np.abs(enlarged[changed]).max()
    assert least <= np.abs(enlarged[~changed]).min()


def test_steps_that_the_next_one_overwrites_score_nothing():
  shapes = []

  class Counting(point_masks.PointMasks):

    def score(self, fine, coarse, boxes, classes, size, points):
      shapes.append(points.shape[2])
      return jnp.zeros(points.shape[:3])

  fine = jnp.zeros((1, 8, 12, 4))
  coarse = jnp.ones((1, 2, 7, 7, CLASSES))
  head = Counting(CLASSES, features=8, hidden=8)
  masks = head.apply({}, fine, coarse, BOXES, KINDS, SIZE, method='refine')
  assert masks.shape == (1, 2, 224, 224)
  assert shapes == [28 * 28] * 4  # At 28, 56, 112 and 224.


def test_points_learn_from_the_pixels_of_their_object():
  ids = jnp.zeros((1, *SIZE), jnp.int32).at[0, 8:16, 10:30].set(2)
  points = jnp.array([[[[20.5 / 48, 10.5 / 32], [40.5 / 48, 20.5 / 32]]] * 2])
  logits = jnp.array([[[3.0, 2.0], [1.0, 1.0]]])
  out = {
      'roi_points': points,
      'roi_point_logits': logits,
      'rois': {
          'classes': jnp.array([[1, 0, 0]]),  # The second is background.
          'matched': jnp.array([[1, 0, 0]]),
      },
  }
  loss = instances.point_loss(out, ids)
  expected = (np.log1p(np.exp(-3.0)) + np.log1p(np.exp(2.0))) / 2
  assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('name', ['mask_rcnn', 'panoptic_fpn'])
def test_a_detector_takes_the_head_by_a_field(name):
  fields = DETECTOR
  if name == 'panoptic_fpn':  # Its pyramid has five levels.
    fields = {**DETECTOR, 'anchor_sizes': ((16.0,),) * 5}
    del fields['levels']
  model = models.create(name, CLASSES, points='c2(steps=2)', **fields)
  image = jnp.zeros((1, *SIZE, 3))
  truth = dict(
      instance_boxes=BOXES,
      instance_classes=KINDS.astype(jnp.uint8),
      instance_valid=jnp.ones((1, 2), jnp.uint8),
  )

  def run():
    rngs = {'params': jax.random.key(0), 'sample': jax.random.key(1)}
    return model.init_with_output(rngs, image, **truth, train=True)

  out, variables = jax.eval_shape(run)
  assert out['mask_logits'].shape == (1, 4, 28, 28)
  assert out['roi_mask_logits'].shape == (1, 4, 7, 7)
  assert out['roi_points'].shape == (1, 4, 196, 2)
  assert out['roi_point_logits'].shape == (1, 4, 196)
  names = {name for part in variables['params'].values() for name in part}
  assert 'point_masks' in names
  assert 'mask_head' not in names


@pytest.mark.parametrize(
    ('points', 'message'),
    [('c2(depth=3)', 'no option depth'), ('c7', "no level 'c7'")],
)
def test_a_head_that_cannot_be_is_refused_in_words(points, message):
  model = models.create('mask_rcnn', CLASSES, points=points, **DETECTOR)
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *SIZE, 3)))
