import cv2
import numpy as np
import pytest

from segjax.benchmark import opencv


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('pairs')
  opencv.make_pairs(folder / 'made', count=1)
  return folder / 'made'


@pytest.mark.parametrize('seed', range(6))
def test_both_sides_make_the_same_example(pairs, seed):
  folder = pairs / 'png'
  theirs = opencv.example(
      folder / 'images' / '0.png',
      folder / 'masks' / '0.png',
      np.random.default_rng(seed),
  )
  ours = opencv.our_example(
      opencv.dataset(folder), 0, opencv.our_ops(), np.random.default_rng(seed)
  )
  for a, b in zip(ours, theirs, strict=True):
    assert a.shape == b.shape
    assert a.dtype == b.dtype
  assert np.abs(ours[0] - theirs[0]).mean() < 0.02
  # OpenCV's usual way of picking is off by half a pixel.
  assert (ours[1] == theirs[1]).mean() > 0.97


def test_a_comparison_names_ops_and_ratios(pairs, capsys):
  opencv.compare(pairs / 'jpg', rounds=1)
  said = capsys.readouterr().out
  assert 'jpg: 1 pairs, 1 times' in said
  for word in ('photometric', 'ScaledCrop', 'From files', 'images/s a core'):
    assert word in said


def test_pairs_are_as_hard_to_read_as_photographs(pairs):
  assert 1e6 < (pairs / 'png/images/0.png').stat().st_size < 4e6
  assert 3e5 < (pairs / 'jpg/images/0.jpg').stat().st_size < 1e6
  label = cv2.imread(str(pairs / 'png/masks/0.png'), cv2.IMREAD_UNCHANGED)
  assert set(np.unique(label)) == {*range(opencv.CLASSES), opencv.IGNORE}
