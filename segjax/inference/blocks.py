"""Divides an axis of an image into parts that are predicted one after another.

Each part is an image of its own, whose windows are some of those that the whole
axis has, at the same places. Of its pixels those are kept whose windows are all
among them, so the parts are, side by side, the prediction of the whole.
"""

import dataclasses

from segjax.inference.windows import grid


@dataclasses.dataclass(frozen=True)
class Part:
  """Pixels of an axis.

  Attributes:
    start: first pixel that is read.
    stop: end of those that are read, exclusive.
    low: first pixel that is kept.
    high: end of those that are kept, exclusive.
  """

  start: int
  stop: int
  low: int
  high: int


def divide(
    length: int, window: int, stride: int, size: int, halo: int = 0
) -> list[Part]:
  """Divides an axis into parts; what is kept of them covers it once.

  Args:
    length: pixels of the axis.
    window: pixels of a window.
    stride: pixels from one window to the next.
    size: pixels that a part has at most, unless it needs more to keep any.
    halo: pixels that a window reads beyond each end.
  """
  starts = grid(length, window, stride)
  # Where a part may end, and up to where its windows are then complete.
  ends = [
      (start + window, _complete(starts, i, halo))
      for i, start in enumerate(starts[:-1])
  ]
  ends.append((length, length))
  parts, low = [], 0
  while low < length:
    # Of the windows that see a pixel to keep, the first one reads from here.
    first = next(start for start in starts if start + window > low)
    begin = max((s for s in starts if s + halo <= first), default=0)
    useful = [(stop, high) for stop, high in ends if high > low]
    small = [end for end in useful if end[0] - begin <= size]
    stop, high = (small or useful[:1])[-1]
    parts.append(Part(begin, stop, low, high))
    low = high
  return parts


def _complete(starts, last, halo):
  """Returns the first pixel that needs a window which reads beyond `last`."""
  inside = [i for i in range(last + 1) if starts[i] + halo <= starts[last]]
  return starts[inside[-1] + 1] if inside else 0
