"""Draws which pixels a stack of dilated convolutions sees.

  python -m segjax.tools.gridding --output=gridding.png
  python -m segjax.tools.gridding --output=mine.png --rates=2,4,8 --rates=1,2,3

A convolution dilated by 2 sees every second pixel only. A stack whose rates
have a common factor keeps to one of several grids for good, and the classes of
neighbouring pixels are decided without each other (Wang et al., 2018,
https://arxiv.org/abs/1702.08502, figure 2). Darker pixels are seen on more
paths; white ones are not seen.
"""

from collections.abc import Sequence

from absl import app
from absl import flags
from etils import epath
import numpy as np

from segjax.artifacts import diagrams
from segjax.artifacts import pictures
from segjax.data import image as images
from segjax.runtime import terminal

# Rates of the 3x3 convolutions at one stride, in their order, of systems here;
# of ResNet-50 those of stages 3 and 4.
HDC = (2, 2, 5, 9, *(1, 2, 5, 9) * 4, 1, 2, 5)
STACKS = {
    'resnet, dilate_first=True': (*(2,) * 6, *(4,) * 3),
    'resnet, dilate_first=False': (1, *(2,) * 5, 2, *(4,) * 2),
    'resnet, multi_grid=(1, 2, 4)': (1, *(2,) * 5, 4, 8, 16),
    'hdc_duc, stage 3': HDC,
    'hdc_duc, stages 3 and 4': (*HDC, 5, 9, 17),
    'drn/d_22': (*(2,) * 4, *(4,) * 4, 2, 1),
    'dilatednet, context': (1, 1, 2, 4, 8, 16),
    'erfnet': (1, 2, 1, 4, 1, 8, 1, 16) * 2,
    'four rates of 4': (4,) * 4,
}


def paths(rates: Sequence[int]) -> np.ndarray:
  """Counts the paths from an output to each pixel, in one dimension.

  Args:
    rates: dilations of convolutions with three weights.

  Returns:
    [N] float64; the pixel in the middle is that of the output. In two
    dimensions the number is the product of those of row and column.
  """
  counts = np.ones(1)
  for rate in rates:
    kernel = np.zeros(2 * rate + 1)
    kernel[[0, rate, -1]] = 1
    counts = np.convolve(counts, kernel)
  return counts


def draw(rates: Sequence[int], side: int = 61, scale: int = 4) -> np.ndarray:
  """Returns a picture of the pixels in the middle, [H, W, 3] uint8.

  Args:
    rates: see `paths`.
    side: rows and columns of pixels to show, odd.
    scale: rows and columns of the picture that show a pixel.
  """
  counts, half = paths(rates), side // 2
  counts = np.pad(counts, half)
  middle = len(counts) // 2
  counts = counts[middle - half : middle + half + 1]
  shares = np.outer(counts, counts) / counts.max() ** 2
  # The eye tells what is never seen from what is seldom seen.
  seen = shares > 0
  dark = np.where(seen, 0.15 + 0.85 * shares**0.5, 0.0)[..., None]
  low, high = np.float64(pictures.PAPER), np.float64(diagrams.RAMP[1])
  picture = np.rint(low + dark * (high - low)).astype(np.uint8)
  return picture.repeat(scale, 0).repeat(scale, 1)


def unseen(rates: Sequence[int], reach: int = 0) -> float:
  """Returns the share of pixels around an output that it does not see.

  Args:
    rates: see `paths`.
    reach: how far the pixels are away in rows and columns; 0 takes all in the
      square that the stack reaches.
  """
  counts = paths(rates)
  middle = len(counts) // 2
  reach = min(reach or middle, middle)
  seen = (counts[middle - reach : middle + reach + 1] > 0).mean()
  return float(1 - seen**2)


def main(argv):
  """Writes the picture."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    stacks = STACKS
    if _RATES.value:
      stacks = {text: _read(text) for text in _RATES.value}
    drawn = [
        pictures.captioned(draw(rates), f'{name}: {unseen(rates):.0%} unseen')
        for name, rates in stacks.items()
    ]
    images.write_png(epath.Path(_OUTPUT.value), pictures.grid(drawn, columns=3))


def _read(text):
  """Returns the rates in a text such as '2,4,8'."""
  words = text.split(',')
  if not all(word.isdigit() and int(word) for word in words):
    raise ValueError(f'--rates={text!r}: write dilations such as 2,4,8.')
  return tuple(map(int, words))


if __name__ == '__main__':
  _OUTPUT = flags.DEFINE_string('output', None, 'PNG file to write.')
  _RATES = flags.DEFINE_multi_string(
      'rates', [], 'Rates of a stack, such as 2,4,8; again for another stack.'
  )
  flags.mark_flag_as_required('output')
  app.run(main, flags_parser=terminal.parse_flags)
