import jax
import numpy as np
import pytest

from segjax import losses
from segjax.data.label_map import LabelMap
from segjax.tasks import instances
from segjax.tasks import panoptic_two_stage as task
from segjax.tasks import semantic

LABELS = LabelMap(
    names=('sky', 'road', 'car'),
    colors=((0, 0, 200), (90, 90, 90), (200, 0, 0)),
    ids={i: i for i in range(3)},
    things=(2,),
)
SIZE = 20, 30


def outputs(boxes, scores):
  """Sky over road, seen without doubt, and cars in boxes."""
  label = np.zeros(SIZE, int)
  label[12:] = 1
  count = len(boxes)
  return {
      'logits': 20.0 * np.eye(3)[label][None],
      'aux': {},
      'boxes': np.array(boxes, np.float32)[None],
      'classes': np.full((1, count), 2),
      'scores': np.array(scores)[None],
      'mask_logits': np.full((1, count, 4, 4), 9.0),
  }


def predicted(boxes, scores, **options):
  options = dict(stuff_area=20) | options
  function = jax.jit(lambda out: task.predict(out, LABELS, **options))
  found = function(outputs(boxes, scores))
  return {name: np.asarray(x[0]) for name, x in found.items()}


CAR, BESIDE, INSIDE = [2, 2, 10, 12], [2, 8, 10, 18], [3, 3, 8, 9]


def test_the_best_object_lies_on_top_and_the_others_have_what_is_left():
  found = predicted([CAR, BESIDE], [0.7, 0.9])
  segments = found['segments']
  assert segments[5, 9] == 2  # Of both.
  assert segments[5, 4] == 1
  assert (segments == 1).sum() == 8 * 6
  # Behind two objects comes the stuff of each class.
  assert segments[0, 0] == 3
  assert segments[15, 0] == 4
  assert found['classes'].tolist() == [2, 2, 0, 1, 255]
  np.testing.assert_allclose(found['scores'], [0.7, 0.9, 1, 1, 0], rtol=1e-4)


def test_an_object_that_another_covers_is_left_out():
  found = predicted([CAR, INSIDE], [0.9, 0.8])
  assert set(np.unique(found['segments'])) == {1, 3, 4}
  assert found['classes'][1] == 255
  kept = predicted([CAR, INSIDE], [0.8, 0.9])
  assert set(np.unique(kept['segments'])) == {1, 2, 3, 4}


def test_objects_of_low_score_and_small_stuff_are_void():
  found = predicted([CAR], [0.4], stuff_area=300)
  assert set(np.unique(found['segments'])) == {0, 2}  # There is much sky.
  assert not found['segments'][15].any()
  lower = predicted([CAR], [0.4], score=0.3)
  assert 1 in lower['segments']


def test_a_detection_that_is_not_there_is_no_segment_whatever_the_score():
  found = predicted([[0, 0, 0, 0], CAR], [0.0, 0.9], score=0.0)
  assert found['classes'].tolist() == [255, 2, 0, 1, 255]


def test_what_is_all_right_has_a_quality_of_one():
  found = predicted([CAR], [0.9])
  label = np.where(np.indices(SIZE)[0] < 12, 0, 1).astype(np.uint8)
  ids = np.zeros(SIZE, np.int32)
  ids[2:10, 2:12] = 1
  label[ids > 0] = 2
  scores = task.scores(LABELS)
  scores.add(
      {
          'name': 'a',
          'label': label,
          'instances': ids,
          'instance_classes': np.array([2], np.uint8),
          'instance_crowds': np.zeros(1, np.uint8),
      },
      found,
  )
  assert scores.compute()['PQ'] == pytest.approx(1)


def test_the_loss_is_the_weighted_sum_of_both(monkeypatch):
  out, batch = outputs([CAR], [0.9]), {'label': np.ones((1, *SIZE), np.uint8)}
  pixel = losses.build('cross_entropy')
  monkeypatch.setattr(
      instances, 'loss', lambda *args, **options: (5.0, {'box': 5.0})
  )
  total, parts = task.loss(
      out, batch, None, pixel=pixel, semantic_weight=0.5, instance_weight=2.0
  )
  expected, _ = semantic.loss(out, batch, None, pixel=pixel)
  np.testing.assert_allclose(total, 0.5 * expected + 10, rtol=1e-6)
  assert set(parts) == {'cross_entropy', 'box'}


def test_class_0_is_no_thing():
  labels = LabelMap(
      names=('car', 'sky'), colors=((0,) * 3,) * 2, ids={0: 0}, things=(0,)
  )
  with pytest.raises(ValueError, match='whose class 0 is none'):
    task.scores(labels)
