import numpy as np
import pytest

from segjax.data import datasets
from segjax.data import proposals
from segjax.data.datasets import shapes
from segjax.data.label_map import IGNORE


def bytes_of(scene):
  return [value.tobytes() for value in vars(scene).values()]


@pytest.fixture(scope='module', params=[0.0, 0.5, 1.0])
def scenes(request):
  dataset = shapes.load('val', size=(48, 80), difficulty=request.param)
  return [dataset.scene(i) for i in range(40)]


def test_a_scene_is_a_function_of_its_index():
  once = shapes.load('train', size=(48, 80))
  again = shapes.load('train', size=(48, 80))
  forwards = [bytes_of(once.scene(i)) for i in range(8)]
  backwards = [bytes_of(again.scene(i)) for i in reversed(range(8))]
  assert forwards == backwards[::-1]


def test_no_two_scenes_are_equal_within_or_between_splits():
  images = [
      shapes.load(split, size=(32, 32))[i]['image'].tobytes()
      for split in ('train', 'val')
      for i in range(100)
  ]
  assert len(set(images)) == 200


def test_an_example_is_what_the_scene_shows():
  dataset = datasets.load('shapes', 'val', size=(40, 56), length=3)
  scene, example = dataset.scene(2), dataset[2]
  assert len(dataset) == 3
  assert example.keys() == {'image', 'label', 'name'}
  assert example['name'] == 'val_000002'
  assert example['image'].shape == (40, 56, 3)
  assert example['label'].shape == (40, 56)
  for key in ('image', 'label'):
    assert example[key].dtype == np.uint8
    np.testing.assert_array_equal(example[key], getattr(scene, key))


@pytest.mark.parametrize('difficulty', [0.0, 1.0])
def test_instances_come_with_a_table_of_one_length(difficulty):
  options = dict(size=(40, 56), length=20, difficulty=difficulty)
  plain = datasets.load('shapes', 'val', **options)
  dataset = datasets.load('shapes', 'val', **options, instances=True)
  lengths = set()
  for i in range(20):
    scene, example = dataset.scene(i), dataset[i]
    np.testing.assert_array_equal(example['image'], plain[i]['image'])
    np.testing.assert_array_equal(example['label'], plain[i]['label'])
    np.testing.assert_array_equal(example['instances'], scene.instances)
    assert example['instances'].dtype == np.int32
    table = example['instance_classes']
    np.testing.assert_array_equal(table[: len(scene.classes)], scene.classes)
    assert (table[len(scene.classes) :] == IGNORE).all()
    lengths |= {table.shape, example['instance_crowds'].shape}
    assert not example['instance_crowds'].any()
    # Every pixel of a thing is of an object of its class.
    shown = np.append(table, 0)[example['instances'] - 1]
    valid = example['label'] != IGNORE
    np.testing.assert_array_equal(shown[valid], example['label'][valid])
  assert len(lengths) == 1


def test_all_classes_but_the_background_are_things():
  assert shapes.LABEL_MAP.things == tuple(range(1, 8))


def test_every_box_is_tight_around_the_visible_pixels(scenes):
  for scene in scenes:
    for i, box in enumerate(scene.boxes):
      y, x = np.nonzero(scene.instances == i + 1)
      assert box.tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]


def test_instances_are_numbered_without_gaps(scenes):
  for scene in scenes:
    ids = np.setdiff1d(scene.instances, 0)
    assert ids.tolist() == list(range(1, len(scene.boxes) + 1))
    assert len(scene.classes) == len(scene.boxes)


def test_label_and_instances_agree(scenes):
  for scene in scenes:
    ignored = scene.label == IGNORE
    classes = np.concatenate([[0], scene.classes])
    np.testing.assert_array_equal(
        scene.label[~ignored], classes[scene.instances[~ignored]]
    )
    assert not scene.instances[ignored].any()


def test_two_objects_never_touch_without_a_seam(scenes):
  for scene in scenes:
    for axis in (0, 1):
      one = np.delete(scene.instances, -1, axis)
      other = np.delete(scene.instances, 0, axis)
      assert not ((one != other) & (one > 0) & (other > 0)).any()


def test_a_buried_object_is_dropped():
  ids = np.full((4, 5), 3, np.uint8)
  ids[:, 0] = 0
  label, instances, boxes, classes = shapes._annotate(ids, np.array([1, 2, 7]))
  assert classes.tolist() == [7]
  assert boxes.tolist() == [[0, 1, 4, 5]]
  assert np.unique(instances).tolist() == [0, 1]
  assert np.unique(label).tolist() == [0, 7]


def test_every_class_is_frequent_enough_to_learn():
  dataset = shapes.load('train')
  labels = np.stack([dataset[i]['label'] for i in range(200)])
  share = np.bincount(labels.ravel(), minlength=256) / labels.size
  assert 0.4 < share[0] < 0.8
  assert (share[1:8] > 0.01).all()
  assert 0 < share[IGNORE] < 0.02
  assert not share[8:IGNORE].any()


def test_more_difficulty_is_more_objects_and_more_noise():
  counts, noise = [], []
  for difficulty in (0.0, 0.5, 1.0):
    dataset = shapes.load('val', size=(64, 96), difficulty=difficulty)
    scenes = [dataset.scene(i) for i in range(40)]
    images = np.stack([scene.image for scene in scenes]).astype(int)
    counts.append(np.mean([len(scene.boxes) for scene in scenes]))
    noise.append(np.abs(np.diff(images, axis=2)).mean())
  assert counts == sorted(counts)
  assert counts[2] > 2 * counts[0]
  assert noise == sorted(noise)


def test_colour_alone_does_not_tell_the_class():
  train = shapes.load('train', size=(48, 64))
  val = shapes.load('val', size=(48, 64))
  num_classes = train.label_map.num_classes

  def pixels(dataset, count):
    examples = [dataset[i] for i in range(count)]
    color = np.stack([e['image'] for e in examples]).astype(int) // 32
    label = np.stack([e['label'] for e in examples])
    valid = label != IGNORE
    return (color @ [64, 8, 1])[valid], label[valid]

  color, label = pixels(train, 300)
  counts = np.zeros((512, num_classes))
  np.add.at(counts, (color, label), 1)
  color, label = pixels(val, 60)
  prediction = counts.argmax(-1)[color]
  matrix = np.zeros((num_classes, num_classes))
  np.add.at(matrix, (label, prediction), 1)
  hits = np.diag(matrix)
  iou = hits / (matrix.sum(0) + matrix.sum(1) - hits)
  assert iou.mean() < 0.5


def test_without_being_asked_no_region_is_proposed():
  dataset = shapes.load('val', size=(32, 48))
  assert dataset.proposals == 0
  assert 'proposals' not in dataset[0]


def test_proposals_are_a_function_of_the_index():
  once, again = (shapes.load('val', proposals=9) for _ in range(2))
  for i in (3, 1, 2):
    proposed = once[i]['proposals']
    assert proposed.shape == (96, 128, 9)
    assert proposed.dtype == np.uint8
    assert set(np.unique(proposed)) == {0, 1}
    np.testing.assert_array_equal(proposed, again[i]['proposals'])


def test_every_object_is_proposed_nearly_as_it_is():
  dataset = shapes.load('val', proposals=16)
  best = []
  for i in range(20):
    scene, proposed = dataset.scene(i), dataset[i]['proposals'] > 0
    for n in range(len(scene.boxes)):
      shown = (scene.instances == n + 1)[..., None]
      both = (proposed & shown).sum((0, 1))
      best.append((both / (proposed | shown).sum((0, 1))).max())
  assert np.mean(best) > 0.85
  assert np.min(best) > 0.2  # Thin ones suffer from a pixel.


def test_most_proposals_of_the_ground_or_of_parts_are_worse():
  dataset = shapes.load('val', proposals=24)
  overlaps = np.concatenate(
      [
          proposals.assign(dataset[i]['proposals'], dataset[i]['label'])[1]
          for i in range(20)
      ]
  )
  assert 0.2 < np.mean(overlaps < 0.5) < 0.8


@pytest.mark.parametrize('size', [(32, 32), (33, 71), (96, 128)])
def test_any_size_can_be_drawn(size):
  scene = shapes.load('train', size=size, difficulty=1.0).scene(0)
  assert scene.image.shape == (*size, 3)
  assert scene.label.shape == scene.instances.shape == size


def test_a_loop_over_the_set_ends():
  assert len(list(shapes.load('val', size=(16, 16), length=4))) == 4


def test_an_index_outside_is_refused():
  with pytest.raises(IndexError, match='shapes/val has 4 scenes, not 4'):
    shapes.load('val', size=(16, 16), length=4)[4]


def test_an_unknown_split_is_answered_with_those_that_exist():
  with pytest.raises(ValueError, match="'test'.*train.*val"):
    shapes.load('test')


def test_a_difficulty_outside_the_range_is_refused():
  with pytest.raises(ValueError, match=r'difficulty is 1\.5'):
    shapes.load('train', difficulty=1.5)
