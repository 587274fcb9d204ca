import subprocess
import sys

import numpy as np
import pytest

from segjax.data import image as images
from segjax.tools import gridding


@pytest.mark.parametrize(
    ('rates', 'pattern'),
    [
        ((1, 1), [1, 2, 3, 2, 1]),
        ((2, 2), [1, 0, 2, 0, 3, 0, 2, 0, 1]),  # One grid of two.
        ((1, 2), [1, 1, 2, 1, 2, 1, 1]),
        ((1, 3), [1] * 9),
    ],
)
def test_paths_are_counted(rates, pattern):
  np.testing.assert_array_equal(gridding.paths(rates), pattern)


def test_rates_with_a_common_factor_leave_pixels_out():
  assert gridding.unseen((2, 2, 2)) > 0.6
  assert gridding.unseen((1, 2, 3)) == 0
  stage3 = gridding.HDC
  assert gridding.unseen(stage3, reach=20) == 0
  assert gridding.unseen((2,) * len(stage3), reach=20) > 0.7


def test_the_command_draws_stacks_of_ones_own(tmp_path):
  path = tmp_path / 'a.png'
  command = [sys.executable, '-m', 'segjax.tools.gridding', f'--output={path}']
  subprocess.run([*command, '--rates=2,2', '--rates=1,2'], check=True)
  picture = images.read_image(path)
  assert picture.shape[0] > 61 * 4
  assert picture.shape[1] > 2 * 61 * 4


def test_unseen_pixels_are_white():
  picture = gridding.draw((2, 2), side=9, scale=1)
  seen = (picture < 255).any(-1)
  np.testing.assert_array_equal(seen[4], np.arange(9) % 2 == 0)
  assert not seen[3].any()
