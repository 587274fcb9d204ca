import numpy as np
import pytest

from segjax import tasks
from segjax.losses.cross_entropy import cross_entropy
from segjax.tasks import proposals

# One image, 8 x 8, with an object of class 1 on the left; three proposals.
BOXES = np.array([[[0, 0, 8, 4], [0, 4, 8, 8], [0, 0, 1, 1]]], np.float32)
LABEL = np.zeros((1, 8, 8), np.uint8)
LABEL[:, :, :4] = 1
BATCH = {
    'label': LABEL,
    'categories': np.array([[1, 1, 255]]),
    'overlaps': np.array([[1.0, 0.0, 0.0]]),
}


def outputs(seed=0):
  rng = np.random.default_rng(seed)
  return {
      'class_logits': rng.normal(size=(1, 3, 3)),
      'svm_scores': rng.normal(size=(1, 3, 2)),
      'boxes': BOXES,
      'masks': {'a': rng.normal(size=(1, 3, 4, 4))},
  }


def objective(logits, labels):
  loss = cross_entropy(logits, labels)
  return loss, {'cross_entropy': loss}


def parts(out, batch=BATCH, **options):
  total, parts = proposals.loss(out, batch, None, pixel=objective, **options)
  np.testing.assert_allclose(total, sum(parts.values()), rtol=1e-6)
  return parts


def test_proposals_are_of_a_class_from_half_an_overlap_on():
  out = outputs()
  logits = out['class_logits'][0]
  log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  expected = -(log_probs[0, 1] + log_probs[1, 0]) / 2  # The third is empty.
  np.testing.assert_allclose(parts(out)['cross_entropy'], expected, rtol=1e-5)


def test_each_svm_tells_its_category_from_the_rest():
  svm_scores = np.array([[[0.5, -3.0], [0.4, 0.1], [9.0, 9.0]]])
  overlaps = np.array([[0.6, 0.3, 0.0]])
  categories = np.array([[1, 1, 255]])  # The second is neither for class 1.
  hinges = [(1 - 0.5) ** 2, 0.0, (1 + 0.1) ** 2]
  np.testing.assert_allclose(
      proposals.squared_hinge(svm_scores, categories, overlaps),
      np.mean(hinges),
      rtol=1e-6,
  )


def test_masks_are_learnt_where_proposals_show_an_object():
  out = outputs()
  expected = np.log1p(np.exp(-out['masks']['a'][0, 0])).mean()
  np.testing.assert_allclose(parts(out)['mask_a'], expected, rtol=1e-5)


def test_ignored_pixels_and_small_boxes_count_less():
  out = outputs()
  label = LABEL.copy()
  label[:, :4] = 255
  batch = {
      **BATCH,
      'label': label,
      'categories': np.array([[1, 1, 1]]),
      'overlaps': np.array([[0.9, 0.9, 0.9]]),
  }
  first, second, _ = out['masks']['a'][0]
  lower = np.log1p(np.exp(-first[2:])), np.log1p(np.exp(second[2:]))
  # Of 32 pixels of each, a half is seen; the third box is ignored.
  for full_area in (0, 64):
    found = parts(out, batch, full_area=full_area)['mask_a']
    np.testing.assert_allclose(found, np.mean(lower), rtol=1e-5)
  batch['label'] = LABEL
  third = np.log1p(np.exp(-out['masks']['a'][0, 2])).sum()
  both = np.log1p(np.exp(-first)).sum() + np.log1p(np.exp(second)).sum()
  expected = (both / 2 + third / 64) / (16 / 2 + 16 / 2 + 16 / 64)
  found = parts(out, batch, full_area=64)['mask_a']
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_proposals_that_overlap_too_little_have_no_mask():
  batch = {**BATCH, 'overlaps': np.array([[0.6, 0.0, 0.0]])}
  assert parts(outputs(), batch)['mask_a'] > 0
  assert parts(outputs(), batch, mask_overlap=0.7)['mask_a'] == 0


def test_without_any_proposal_the_loss_is_zero():
  empty = {
      **BATCH,
      'categories': np.full((1, 3), 255),
      'overlaps': np.zeros((1, 3)),
  }
  assert all(value == 0 for value in parts(outputs(), empty).values())


def test_options_of_the_loss_are_written_as_a_call():
  task = tasks.build('proposals(mask_overlap=0.7)')
  assert task == (proposals, {'mask_overlap': 0.7}, {})


@pytest.mark.parametrize(
    ('task', 'message'),
    [
        ('proposals(overlap=0.7)', r'used as proposals\(\*, mask_overlap'),
        ('semantic(mask_overlap=0.7)', r'used as semantic\(\)'),
        ('regions', 'no task .regions.. Known: binary, boundaries, instances'),
    ],
)
def test_an_unknown_task_or_option_is_answered_with_what_there_is(
    task, message
):
  with pytest.raises(ValueError, match=message):
    tasks.build(task)
