import types

import numpy as np
import pytest

from segjax import predictor
from segjax import refine
from segjax.refine import cascade_psp
from segjax.tasks import refinement
from segjax.tasks import semantic


class Recorder:
  """A network that says what the image has in its first channel."""

  def __init__(self):
    self.seen = []

  def __call__(self, image, mask, stride8):
    self.seen.append((image.shape, stride8 is None))
    assert image.shape[1:3] == mask.shape[1:]
    assert image.shape[1] % 8 == image.shape[2] % 8 == 0
    probability = np.asarray(image[..., 0])
    return probability, probability


def square(size, start, stop):
  mask = np.zeros(size, np.float32)
  mask[start[0] : stop[0], start[1] : stop[1]] = 1
  return mask


def as_image(mask):
  return np.stack([mask] * 3, -1).astype(np.float32)


def test_windows_of_the_local_step_do_not_grow_with_the_image():
  for height, width in ((150, 200), (301, 403)):
    truth = square((height, width), (40, 50), (height - 30, width - 60))
    network = Recorder()
    found = cascade_psp.refine_mask(
        network, as_image(truth), np.roll(truth, 3, 0), size=96
    )
    (_, first), *local = network.seen
    assert first
    assert not any(whole for _, whole in local)
    assert {shape for shape, _ in local} == {(1, 96, 96, 3)}
    # Outlines are as fine as the image, which the global step alone loses.
    np.testing.assert_array_equal(found > 0.5, truth > 0.5)


def test_windows_far_from_the_outline_stay_as_they_are():
  truth = square((300, 400), (0, 0), (300, 200))
  network = Recorder()
  cascade_psp.refine_mask(network, as_image(truth), truth, size=96)
  everywhere = 13 * 18  # Every 16 pixels, as far as windows fit.
  assert 10 < len(network.seen) < everywhere / 2


@pytest.mark.parametrize('sides', [(61, 75), (96, 80), (130, 70)])
@pytest.mark.parametrize('local', [False, True])
def test_any_size_is_refined(sides, local):
  truth = square(sides, (10, 12), (50, 60))
  found = cascade_psp.refine_mask(
      Recorder(), as_image(truth), truth, size=96, local=local
  )
  assert found.shape == sides
  assert ((found > 0.5) != (truth > 0.5)).mean() < 0.04


class Network:
  """Stands for a run that finds the mask that is in the image."""

  def __init__(self, task=refinement):
    self.task = task
    self.system = types.SimpleNamespace(model=None)
    self.variables = {}

  def prepare(self, example):
    assert example['coarse_mask'].shape == example['image'].shape[:2]
    return {'image': np.float32(example['image'])}


def use(monkeypatch, options='', task=refinement):
  monkeypatch.setattr(predictor, 'shared', lambda workdir: Network(task))
  return refine.build(f"cascade_psp('runs/x', size=96, min_area=20{options})")


@pytest.mark.parametrize('parts', [True, False])
def test_of_many_classes_each_pixel_takes_the_surest(monkeypatch, parts):
  # The network finds class 1 wherever the image is bright, and of a mask of
  # class 0 or 2 what is dark.
  label = np.zeros((60, 90), int)
  label[10:50, 10:40] = 1
  label[10:50, 60:85] = 2
  image = as_image(np.float32(label == 1))

  def apply(model, variables, image, mask, stride8=None):
    bright, seen = np.asarray(image[..., 0]), np.asarray(mask) > 0.5
    one = (bright[seen] > 0.5).mean() > 0.5
    sure = 0.9 if one else 0.8
    probability = np.where(bright > 0.5, one, not one) * sure
    probability = np.float32(np.where(one | seen, probability, 0.1))
    return probability, probability

  monkeypatch.setattr(cascade_psp, 'refined_twice', apply)
  wrong = np.roll(label, 3, 1)
  probabilities = np.eye(3, dtype=np.float32)[wrong]
  better = use(monkeypatch, f', local=False, parts={parts}')(
      {'raw': image}, probabilities
  )
  np.testing.assert_allclose(better.sum(-1), 1, atol=1e-6)
  found = better.argmax(-1)
  assert ((found == 1) != (label == 1)).mean() < 0.04
  np.testing.assert_array_equal(found[:, 70:] == 2, wrong[:, 70:] == 2)


def test_of_two_classes_the_second_is_refined(monkeypatch):
  truth = square((60, 90), (10, 12), (50, 60))
  monkeypatch.setattr(
      cascade_psp,
      'refined_twice',
      lambda model, variables, image, mask, stride8=None: (
          np.asarray(image[..., 0]),
      )
      * 2,
  )
  wrong = np.roll(truth, 2, 1)
  wrong[55, 80] = 1  # Too small to be refined, and so it stays.
  better = use(monkeypatch)(
      {'raw': as_image(truth)}, np.stack([1 - wrong, wrong], -1)
  )
  found = better.argmax(-1)
  assert found[55, 80] == 1
  found[55, 80] = 0
  assert (found != truth).mean() < 0.01


def test_a_run_of_another_task_is_refused(monkeypatch):
  with pytest.raises(ValueError, match="'semantic', and CascadePSP wants"):
    use(monkeypatch, task=semantic)


def test_windows_that_are_all_border_are_refused(monkeypatch):
  monkeypatch.setattr(predictor, 'shared', lambda workdir: Network())
  with pytest.raises(ValueError, match='size=64 is at least 66'):
    refine.build("cascade_psp('runs/x', size=64)")
