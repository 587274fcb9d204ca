import numpy as np
import pytest

from segjax import predictor
from segjax import refine
from segjax.tasks import boundaries
from segjax.tasks import semantic


def truth():
  label = np.zeros((24, 30), np.uint8)
  label[6:18, 8:22] = 1
  return label


class Network:
  """Stands for a run that has learnt all there is of `truth`."""

  def __init__(self, task):
    self.task = task

  def predict_one(self, raw, name):
    assert raw.shape == (24, 30, 3)
    return {'labels': boundaries.truth(truth())}


def use(monkeypatch, task=boundaries):
  monkeypatch.setattr(predictor, 'shared', lambda workdir: Network(task))
  return refine.build("segfix(workdir='runs/segfix')")


def test_mistakes_along_outlines_go(monkeypatch):
  refined = use(monkeypatch)
  # A prediction that is a pixel off.
  wrong = np.roll(truth(), (1, 1), (0, 1))
  probabilities = np.eye(2, dtype=np.float32)[wrong]
  example = {'raw': np.zeros((24, 30, 3), np.uint8)}
  better = refined(example, probabilities)
  assert better.shape == probabilities.shape
  before = (wrong != truth()).sum()
  after = (better.argmax(-1) != truth()).sum()
  assert before > 40
  assert after < 0.25 * before


def test_a_run_of_another_task_is_refused(monkeypatch):
  with pytest.raises(ValueError, match="'semantic', and SegFix wants"):
    use(monkeypatch, semantic)


def test_an_image_of_another_size_is_refused(monkeypatch):
  refined = use(monkeypatch)
  with pytest.raises(ValueError, match=r'\(24, 30\) and \(12, 15\)'):
    refined({'raw': np.zeros((24, 30, 3), np.uint8)}, np.zeros((12, 15, 2)))


def test_a_workdir_without_a_run_is_named():
  with pytest.raises(ValueError, match='nowhere'):
    refine.build("segfix(workdir='nowhere')")
