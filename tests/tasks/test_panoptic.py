import json

import jax
import numpy as np
from PIL import Image
import pytest

from segjax import losses
from segjax import parallel
from segjax.data.label_map import LabelMap
from segjax.tasks import panoptic

# Two kinds of stuff and two of things.
LABELS = LabelMap(
    names=('sky', 'road', 'car', 'dog'),
    colors=((0, 0, 200), (90, 90, 90), (200, 0, 0), (0, 200, 0)),
    ids={i: i for i in range(4)},
    things=(2, 3),
)
SIZE = 24, 36


def truth():
  """Sky and road, a car on each side, a group of dogs and some void."""
  label = np.zeros(SIZE, np.uint8)
  label[14:] = 1
  instances = np.zeros(SIZE, np.int32)
  instances[8:18, 2:12] = 1
  instances[8:18, 22:32] = 2
  instances[0:4, 14:20] = 3
  label[np.isin(instances, (1, 2))] = 2
  label[instances == 3] = 3
  label[20:, :3] = 255
  return {
      'name': 'scene',
      'raw': np.full((*SIZE, 3), 120, np.uint8),
      'label': label,
      'instances': instances,
      'instance_classes': np.array([2, 2, 3, 255], np.uint8),
      'instance_crowds': np.array([0, 0, 1, 0], np.uint8),
  }


def outputs(example, joined=None):
  """What a network that is right has for an image: a batch of one.

  Args:
    example: see `truth`.
    joined: {object: another, to whose centre it points and has none itself}.
  """
  label = np.where(example['label'] == 255, 0, example['label'])
  center = np.zeros(SIZE, np.float32)
  offset = np.zeros((*SIZE, 2), np.float32)
  for i in (1, 2, 3):
    place = np.argwhere(example['instances'] == i)
    other = np.argwhere(example['instances'] == (joined or {}).get(i, i))
    middle = other.mean(0).astype(int)
    center[tuple(middle)] = 0.9
    offset[tuple(place.T)] = middle - place
  return {
      'logits': 20 * np.eye(4, dtype=np.float32)[label][None],
      'aux': {},
      'center': center[None],
      'offset': offset[None],
  }


def predicted(out, **options):
  options = dict(stuff_area=10, top_k=5) | options
  result = jax.jit(lambda out: panoptic.predict(out, LABELS, **options))(out)
  return {name: np.asarray(x[0]) for name, x in result.items()}


@pytest.fixture
def prediction():
  return predicted(outputs(truth()))


def test_segments_have_the_classes_of_a_table_of_one_length(prediction):
  segments, classes = prediction['segments'], prediction['classes']
  assert segments.dtype == np.int32
  assert classes.dtype == np.uint8
  # Dogs, two cars, room for two more, and four classes of which two are stuff.
  assert classes.tolist() == [3, 2, 2, 255, 255, 0, 1, 255, 255]
  ids = truth()['instances']
  found = [np.unique(segments[ids == i]).tolist() for i in (1, 2, 3)]
  assert found == [[2], [3], [1]]


def test_scores_are_probabilities_times_the_heat_at_the_middle(prediction):
  scores = prediction['scores']
  np.testing.assert_allclose(scores[:3], 0.9, rtol=1e-4)
  np.testing.assert_allclose(scores[5:7], 1.0, rtol=1e-4)
  assert not scores[3:5].any()


def test_things_without_a_centre_are_void():
  out = outputs(truth())
  found = predicted(out | {'center': np.zeros_like(out['center'])})
  things = np.isin(truth()['label'], (2, 3))
  assert not found['segments'][things].any()
  assert (found['classes'][:5] == 255).all()


def test_what_is_all_right_has_a_quality_of_one(prediction):
  scores = panoptic.scores(LABELS)
  scores.add(truth(), prediction)
  scores.gather()
  result = scores.compute()
  for name in ('PQ', 'SQ', 'RQ', 'PQ_things', 'PQ_stuff', 'boundary_PQ'):
    assert result[name] == pytest.approx(1), name
  assert result['mIoU'] == pytest.approx(1)
  assert np.isnan(result['PQ/dog'])  # There is just a group of them.
  assert 'all PQ 1.0000' in scores.describe(result)
  assert result[panoptic.BEST] == result['PQ']


def test_two_objects_seen_as_one_are_one_wrong_and_two_missed():
  found = predicted(outputs(truth(), joined={2: 1}))
  scores = panoptic.scores(LABELS)
  scores.add(truth(), found)
  result = scores.compute()
  assert result['PQ/car'] == 0
  assert result['IoU/car'] == 1  # Pixels do not show it.


def test_files_hold_what_their_json_tells(tmp_path, prediction):
  scores = panoptic.scores(LABELS)
  other = predicted(outputs(truth(), joined={2: 1, 3: 1}))
  scores.write(tmp_path, truth(), prediction)
  scores.write(tmp_path, truth() | {'name': 'other'}, other)
  scores.finish(tmp_path)
  content = json.loads((tmp_path / 'panoptic.json').read_text())

  categories = {entry['id']: entry for entry in content['categories']}
  assert [categories[i]['name'] for i in range(4)] == list(LABELS.names)
  assert [categories[i]['isthing'] for i in range(4)] == [0, 0, 1, 1]
  assert [i['id'] for i in content['images']] == ['scene', 'other']
  assert (content['images'][0]['height'], content['images'][0]['width']) == SIZE
  expected = {'scene': prediction, 'other': other}
  for annotation in content['annotations']:
    with Image.open(tmp_path / annotation['file_name']) as file:
      assert file.mode == 'RGB'
      red, green, blue = np.moveaxis(np.asarray(file, np.int64), -1, 0)
    ids = red + 256 * green + 65536 * blue
    told = {s['id']: s['category_id'] for s in annotation['segments_info']}
    # Each segment of the one is in the other; 0 is void, and not told.
    assert set(np.unique(ids)) - {0} == set(told)
    ours = expected[annotation['image_id']]
    for i, kind in told.items():
      segments = np.unique(ours['segments'][ids == i])
      assert len(segments) == 1
      assert kind == ours['classes'][segments[0] - 1]
    np.testing.assert_array_equal(ids == 0, ours['segments'] == 0)


@pytest.mark.parametrize('number', [1, 255, 256, 70_000, (1 << 24) - 1])
def test_ids_are_three_bytes_the_lowest_in_red(number):
  red, green, blue = panoptic.encode(np.array([[number]]))[0, 0].tolist()
  assert red + 256 * green + 65536 * blue == number


def test_pictures_show_objects_of_a_class_apart(prediction):
  scores = panoptic.scores(LABELS)
  panel = scores.draw(truth(), prediction)
  assert panel.shape == (SIZE[0], 3 * SIZE[1] + 8, 3)
  shown = panel[:, -SIZE[1] :]
  assert not np.array_equal(shown[12, 6], shown[12, 26])
  assert shown[12, 6].argmax() == shown[12, 26].argmax() == 0  # Both red.


def loss(out, example, **options):
  batch = {
      name: np.asarray(x)[None]
      for name, x in example.items()
      if name not in ('name', 'raw')
  }
  pixel = losses.build('cross_entropy')
  return panoptic.loss(out, batch, None, pixel=pixel, **options)


def with_targets(example):
  offset = outputs(example)['offset'][0]
  return example | {'centers': np.zeros(SIZE), 'offsets': offset}


def test_the_heat_counts_on_labelled_pixels_of_no_group():
  example = with_targets(truth())
  out = outputs(truth()) | {'center': np.zeros((1, *SIZE), np.float32)}
  out['center'][0, example['instances'] == 3] = 7.0
  out['center'][0, example['label'] == 255] = 7.0
  _, parts = loss(out, example)
  assert parts['center'] == 0
  out['center'][0, 23, 30] = 2.0
  counted = (example['label'] != 255) & (example['instances'] != 3)
  total, parts = loss(out, example, center_weight=10.0)
  np.testing.assert_allclose(parts['center'], 4 / counted.sum(), rtol=1e-5)
  np.testing.assert_allclose(
      total, parts['cross_entropy'] + 40 / counted.sum(), rtol=1e-5
  )


def test_offsets_count_on_pixels_of_objects_but_not_of_groups():
  example = with_targets(truth())
  out = outputs(truth())
  out['offset'] = example['offsets'][None] + 100.0 * (
      np.isin(example['instances'], (0, 3))[None, ..., None]
  )
  assert loss(out, example)[1]['offset'] == 0
  out['offset'][0, 8, 2] += 3
  np.testing.assert_allclose(loss(out, example)[1]['offset'], 6 / (2 * 200))


def test_the_mean_over_devices_is_the_loss_of_the_global_batch():
  one, other = with_targets(truth()), with_targets(truth())
  other['label'] = np.where(other['label'] == 0, 255, other['label'])
  other['instances'] = np.where(other['instances'] == 1, 0, other['instances'])
  rng = np.random.default_rng(0)
  out = {
      'logits': rng.normal(size=(2, *SIZE, 4)),
      'center': rng.normal(size=(2, *SIZE)),
      'offset': rng.normal(size=(2, *SIZE, 2)),
  }
  batch = {
      name: np.stack([one[name], other[name]])
      for name in one
      if name not in ('name', 'raw')
  }

  def local(out, batch):
    pixel = losses.build('cross_entropy')
    return panoptic.loss(out | {'aux': {}}, batch, None, pixel=pixel)[0]

  expected = local(out, batch)
  split = jax.tree.map(lambda x: x[:, None], (out, batch))
  devices = jax.devices()[:2]
  values = jax.pmap(local, parallel.AXIS, devices=devices)(*split)
  np.testing.assert_allclose(values.mean(), expected, rtol=1e-6)


def test_a_data_set_of_stuff_alone_is_refused():
  stuff = LabelMap(names=('a', 'b'), colors=((0,) * 3,) * 2, ids={0: 0, 1: 1})
  with pytest.raises(ValueError, match='which of its classes are things'):
    panoptic.scores(stuff)


def test_a_data_set_without_objects_is_refused(prediction):
  example = truth()
  del example['instances']
  with pytest.raises(ValueError, match='scene has no instances'):
    panoptic.scores(LABELS).add(example, prediction)


def test_probabilities_of_pixels_are_refused(tmp_path, prediction):
  with pytest.raises(ValueError, match='leave --probabilities out'):
    panoptic.scores(LABELS).write(
        tmp_path, truth(), prediction, probabilities=True
    )


@pytest.mark.parametrize('rows', [4, 250, 300])
def test_segments_may_have_more_numbers_than_eight_bits(rows):
  example = truth()
  for name, fill in (('instance_classes', 255), ('instance_crowds', 0)):
    table = np.full(rows, fill, np.uint8)
    table[:4] = example[name]
    example[name] = table
  segments, classes, crowds = panoptic.truth_segments(example, LABELS)
  known = np.setdiff1d(segments, 0).tolist()
  assert known == [1, 2, 3, rows + 1, rows + 2]
  assert classes[np.array(known) - 1].tolist() == [2, 2, 3, 0, 1]
  assert crowds[np.array(known) - 1].tolist() == [0, 0, 1, 0, 0]
  assert (segments[example['label'] == 255] == 0).all()


def test_segments_of_things_are_scored_as_objects_too(prediction):
  example = truth()
  scores = panoptic.scores(LABELS)
  scores.add(example, prediction)
  assert scores.compute()['AP'] == pytest.approx(1.0)
  # A car of which a part is missing is a hit at lower thresholds alone.
  partly = dict(prediction, segments=prediction['segments'].copy())
  number = partly['segments'][9, 3]
  place = np.argwhere(partly['segments'] == number)
  rest = place[place[:, 1] > 8]
  partly['segments'][tuple(rest.T)] = 0
  scores = panoptic.scores(LABELS)
  scores.add(example, partly)
  computed = scores.compute()
  share = 1 - len(rest) / len(place)
  assert 0.5 < share < 0.75
  assert computed['AP50'] == pytest.approx(1.0)
  assert computed['AP75'] < 0.6
