import numpy as np

from segjax.tasks import refinement


def test_scores_tell_how_good_masks_were_before():
  label = np.zeros((20, 30), np.uint8)
  label[5:15, 5:25] = 1
  coarse = np.roll(label, 2, 1)
  example = {
      'name': 'box',
      'label': label,
      'coarse_mask': coarse.astype(np.float32),
  }
  scores = refinement.scores(None)
  scores.add(example, {'labels': label})
  found = scores.compute()
  assert found['mIoU'] == 1
  assert found['mBA'] == 1
  assert found['coarse_IoU/inside'] == 180 / 220
  assert found['coarse_mBA'] < 1
  assert 'The coarse masks had mIoU 0.8' in scores.describe(found)
