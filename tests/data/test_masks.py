import numpy as np
import pytest

from segjax.data import pipeline
from segjax.data import transforms
from segjax.data.datasets import shapes
from segjax.data.transforms import masks


def disk(radius=30, size=(96, 112)):
  rows, columns = np.indices(size)
  return np.uint8(np.hypot(rows - 48, columns - 56) <= radius)


def iou(a, b):
  return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def test_masks_are_damaged_about_as_much_as_asked_for():
  mask = disk()
  rng = np.random.default_rng(0)
  for target in (0.95, 0.8):
    found = [iou(masks.perturb(mask, target, rng), mask) for _ in range(12)]
    # The last four changes may go far, and the first step goes some way.
    assert target - 0.2 < np.median(found) < target
    assert len(set(found)) > 6


def test_a_contour_loses_a_run_and_nine_of_ten_points():
  angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
  contour = np.stack([50 * np.cos(angle), 50 * np.sin(angle)], -1)
  contour = np.rint(contour).astype(np.int32)[:, None]
  kept = masks._thinned(contour, np.random.default_rng(0))
  assert kept.shape == (18, 1, 2)
  places = [np.flatnonzero((contour == point).all((1, 2)))[0] for point in kept]
  assert sorted(places) == places


def test_a_mask_that_is_too_small_for_an_outline_stays_before_it_changes():
  mask = np.zeros((40, 40), np.uint8)
  mask[20, 20] = 1
  found = masks.perturb(mask, 0.999, np.random.default_rng(0))
  assert found.shape == mask.shape


def make_features():
  label = np.zeros((96, 112), np.uint8)
  label[disk() == 1] = 3
  label[:10] = 255
  label[90, 100] = 2
  return {
      'image': np.zeros((96, 112, 3), np.uint8),
      'label': label,
      'name': 'disk',
  }


def test_one_class_of_those_shown_is_the_mask():
  (op,) = transforms.parse('perturbed_masks(min_area=2)')
  features, rng = make_features(), np.random.default_rng(0)
  chosen = set()
  for _ in range(8):
    made = op.random_map(features, rng)
    label, coarse = made['label'], made['coarse_mask']
    np.testing.assert_array_equal(label == 255, features['label'] == 255)
    (k,) = np.unique(features['label'][label == 1])
    chosen.add(int(k))
    np.testing.assert_array_equal(label == 1, features['label'] == k)
    assert set(np.unique(coarse)) <= {0, 1}
    assert not coarse[:10].any()
    assert iou(coarse > 0, label == 1) > 0.5
  assert chosen == {0, 3}  # Class 2 is a single pixel.
  (op,) = transforms.parse('perturbed_masks(classes=(3,))')
  made = op.random_map(features, rng)
  np.testing.assert_array_equal(made['label'] == 1, features['label'] == 3)


def test_masks_of_evaluation_are_always_alike():
  (op,) = transforms.parse('fixed_masks')
  first, second = (op.map(make_features()) for _ in range(2))
  np.testing.assert_array_equal(first['coarse_mask'], second['coarse_mask'])
  other = op.map({**make_features(), 'name': 'other'})
  assert not np.array_equal(first['coarse_mask'], other['coarse_mask'])


def test_a_mask_that_is_given_is_refined_and_one_is_wanted():
  (op,) = transforms.parse('fixed_masks')
  given = {'image': np.zeros((4, 5, 3)), 'coarse_mask': np.ones((4, 5))}
  assert op.map(given) is given
  with pytest.raises(ValueError, match='give a coarse_mask'):
    op.map({'image': np.zeros((4, 5, 3)), 'name': 'x'})


def test_nothing_moves_behind_masks():
  with pytest.raises(ValueError, match='flip must come before perturbed_masks'):
    transforms.parse('perturbed_masks|flip')


def test_evaluation_poses_masks_before_all_else():
  scenes = shapes.load('val', size=(32, 48), length=2, difficulty=0.0)
  spec = 'fixed_masks(min_area=20)|normalize'
  example = next(pipeline.eval_examples(scenes, spec))
  assert set(np.unique(example['label'])) <= {0, 1, 255}
  assert example['coarse_mask'].shape == example['label'].shape == (32, 48)
  assert example['raw'].dtype == np.uint8
  with pytest.raises(ValueError, match='comes before all other ops'):
    pipeline.eval_examples(scenes, 'normalize|fixed_masks')
