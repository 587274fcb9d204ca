import json

import jax
import numpy as np
import pytest

from segjax import parallel
from segjax.data.label_map import LabelMap
from segjax.tasks import instances

LABELS = LabelMap(
    names=('ground', 'car', 'dog'),
    colors=((90, 90, 90), (200, 0, 0), (0, 200, 0)),
    ids={i: i for i in range(3)},
    things=(1, 2),
)
SIZE = 40, 60
BOXES = np.array(
    [[4, 5, 20, 25], [4, 30, 20, 50], [25, 10, 37, 26], [25, 40, 37, 56]],
    np.float32,
)


def truth():
  """Two cars, a dog, and a group of dogs."""
  ids = np.zeros(SIZE, np.int32)
  for i, box in enumerate(BOXES.astype(int), 1):
    ids[box[0] : box[2], box[1] : box[3]] = i
  classes = np.array([1, 1, 2, 2, 255], np.uint8)
  return {
      'name': 'scene',
      'raw': np.full((*SIZE, 3), 120, np.uint8),
      'label': np.append(0, classes)[ids].astype(np.uint8),
      'instances': ids,
      'instance_classes': classes,
      'instance_crowds': np.array([0, 0, 0, 1, 0], np.uint8),
  }


def prediction(rows, masks=True):
  """Detections: (index of the box, class, score) each, and room for more."""
  found = {
      'boxes': np.zeros((6, 4), np.float32),
      'classes': np.zeros(6, np.uint8),
      'scores': np.zeros(6, np.float32),
  }
  for i, (box, kind, score) in enumerate(rows):
    found['boxes'][i] = BOXES[box]
    found['classes'][i], found['scores'][i] = kind, score
  return found | ({'masks': np.ones((6, 8, 8), np.float32)} if masks else {})


RIGHT = ((0, 1, 0.9), (2, 2, 0.8), (1, 1, 0.7))


def scored(*predictions):
  scores = instances.scores(LABELS)
  for found in predictions:
    scores.add(truth(), found)
  scores.gather()
  return scores.compute()


@pytest.mark.parametrize('masks', [True, False])
def test_what_is_all_right_has_an_ap_of_one(masks):
  result = scored(prediction(RIGHT, masks))
  assert result['box_AP'] == pytest.approx(1)
  assert result['AP50'] == pytest.approx(1)
  assert ('cityscapes_AP' in result) == masks
  if masks:  # The pasted masks have both ends of their boxes.
    assert result['cityscapes_AP50'] == pytest.approx(1)
  assert instances.scores(LABELS).describe(result).startswith('AP ')


def test_the_wrong_class_finds_nothing():
  result = scored(prediction([(0, 2, 0.9), (1, 2, 0.9), (2, 1, 0.9)]))
  assert result['AP50'] == result['box_AP'] == result['cityscapes_AP'] == 0


def test_what_lies_on_a_group_does_not_count():
  group = (3, 2, 0.95)
  result = scored(prediction([group, *RIGHT]))
  assert result['AP50'] == result['box_AP50'] == pytest.approx(1)
  assert result['cityscapes_AP50'] == pytest.approx(1)
  missed = scored(prediction([(3, 1, 0.95), *RIGHT]))
  assert missed['AP50'] < 1  # As a car, it is wrong.


def test_a_data_set_whose_first_class_is_a_thing_is_refused():
  labels = LabelMap(
      names=('car', 'dog'), colors=((0,) * 3,) * 2, ids={0: 0}, things=(0,)
  )
  with pytest.raises(ValueError, match='whose class 0 is none'):
    instances.scores(labels)


def test_a_data_set_without_objects_is_refused():
  example = truth()
  del example['instances']
  with pytest.raises(ValueError, match='scene has no instances'):
    instances.scores(LABELS).add(example, prediction(RIGHT))


def test_classes_that_are_no_things_have_a_score_of_0():
  out = {
      'boxes': np.zeros((1, 2, 4)),
      'classes': np.array([[0, 2]]),
      'scores': np.array([[0.9, 0.8]]),
  }
  found = instances.predict(out, LABELS)
  np.testing.assert_allclose(found['scores'], [[0, 0.8]])
  assert found['classes'].dtype == np.uint8


def test_files_are_a_list_of_results_and_a_picture(tmp_path):
  scores = instances.scores(LABELS)
  scores.write(tmp_path, truth(), prediction(RIGHT))
  scores.write(tmp_path, truth() | {'name': 'empty'}, prediction(()))
  scores.finish(tmp_path)
  results = json.loads((tmp_path / 'instances.json').read_text())
  assert [entry['category_id'] for entry in results] == [1, 2, 1]
  assert {entry['image_id'] for entry in results} == {'scene'}
  assert results[0]['bbox'] == [5, 4, 20, 16]
  assert results[0]['segmentation']['size'] == list(SIZE)
  assert isinstance(results[0]['segmentation']['counts'], str)
  for name in ('scene', 'empty'):
    assert (tmp_path / f'{name}_overlay.png').exists()
  again = instances.scores(LABELS)
  assert again.resume(tmp_path) == {'scene'}
  again.finish(tmp_path)
  assert json.loads((tmp_path / 'instances.json').read_text()) == results


def test_pictures_show_contours_and_names():
  scores = instances.scores(LABELS)
  panel = scores.draw(truth(), prediction(RIGHT[:1]))
  assert panel.shape == (SIZE[0], 3 * SIZE[1] + 8, 3)
  shown = panel[:, -SIZE[1] :]
  assert shown[15, 15].argmax() == 0  # The car is red.
  assert (shown[35, 30] == 120).all()  # There is nothing.
  # The name stands on the colour of the class, which tints the rest by half.
  assert (shown[6:12, 7:20] == (200, 0, 0)).all(-1).any()


def learnt(images):
  """Outputs of training, and the batch, by a model that knows nothing."""
  rng = np.random.default_rng(0)
  anchors, rois, grid = 30, 8, 6
  boxes = np.tile(BOXES, (images, 1, 1))

  def near(count):
    index = rng.integers(0, 3, (images, count))
    moved = np.take_along_axis(boxes, index[..., None], 1)
    return moved + rng.uniform(-2, 2, moved.shape), index

  anchor_boxes, anchor_matched = near(anchors)
  roi_boxes, matched = near(rois)
  classes = np.array([1, 1, 2, 2])[matched]
  classes[:, 4:7], classes[:, 7] = 0, -1
  out = {
      'anchors': {
          'logits': rng.normal(size=(images, anchors)),
          'deltas': rng.normal(size=(images, anchors, 4)),
          'boxes': anchor_boxes,
          'chosen': rng.integers(-1, 2, (images, anchors)),
          'matched': anchor_matched,
      },
      'rois': {
          'class_logits': rng.normal(size=(images, rois, 3)),
          'deltas': rng.normal(size=(images, rois, 3, 4)),
          'boxes': roi_boxes,
          'classes': classes,
          'matched': matched,
      },
      'roi_mask_logits': rng.normal(size=(images, 4, grid, grid)),
  }
  batch = {
      'instances': np.tile(truth()['instances'], (images, 1, 1)),
      'instance_boxes': boxes,
  }
  return jax.tree.map(np.asarray, (out, batch))


def loss(out, batch, **options):
  return instances.loss(out, batch, None, pixel=None, **options)


def test_what_is_not_chosen_has_no_gradient():
  out, batch = learnt(2)
  gradient = jax.grad(lambda out: loss(out, batch)[0], allow_int=True)(out)
  chosen = out['anchors']['chosen']
  of_logits = np.asarray(gradient['anchors']['logits'])
  of_deltas = np.asarray(gradient['anchors']['deltas']).any(-1)
  np.testing.assert_array_equal(of_logits != 0, chosen != 0)
  np.testing.assert_array_equal(of_deltas, chosen > 0)
  deltas = np.asarray(gradient['rois']['deltas']).any(-1)
  np.testing.assert_array_equal(deltas.any((0, 1)), [False, True, True])
  assert not deltas[:, 4:].any()
  assert not np.asarray(gradient['rois']['class_logits'])[:, 7].any()


def test_the_parts_are_weighted():
  out, batch = learnt(1)
  total, parts = loss(out, batch)
  np.testing.assert_allclose(total, sum(parts.values()), rtol=1e-6)
  total, _ = loss(
      out, batch, anchor_box_weight=0.0, box_weight=2.0, mask_weight=0.0
  )
  expected = parts['objectness'] + parts['class'] + 2 * parts['box']
  np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_the_mean_over_devices_is_the_loss_of_the_global_batch():
  out, batch = learnt(2)
  out['anchors']['chosen'][0, 5:] = 0  # One has fewer than the other.
  out['rois']['classes'][1, 1:] = -1
  expected = loss(out, batch)[0]
  split = jax.tree.map(lambda x: x[:, None], (out, batch))
  values = jax.pmap(
      lambda out, batch: loss(out, batch)[0],
      parallel.AXIS,
      devices=jax.devices()[:2],
  )(*split)
  np.testing.assert_allclose(values.mean(), expected, rtol=1e-5)
