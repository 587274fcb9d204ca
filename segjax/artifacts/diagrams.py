"""Diagrams of scores: uint8 arrays, RGB [H, W, 3]."""

from collections.abc import Mapping
from collections.abc import Sequence

import cv2
import numpy as np

from segjax.artifacts import pictures
from segjax.artifacts.pictures import INK
from segjax.artifacts.pictures import PAPER
from segjax.artifacts.pictures import legend_entry
from segjax.artifacts.pictures import paste
from segjax.artifacts.pictures import text_tile

RAMP = ((244, 247, 250), (22, 72, 133))  # Of a share, from 0 to 1.
NO_DATA = (228, 228, 228)
# Of lines in a chart; a chart has no more lines.
LINES = ((22, 72, 133), (201, 93, 30), (60, 140, 70), (130, 60, 140))


def confusion(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
  """Draws a confusion matrix as a heat map.

  Args:
    matrix: [K, K] counts, rows are labels and columns predictions.
    names: K class names.

  Returns:
    [H, W, 3]. Each row shows where the pixels of a class went, in percent for
    up to 30 classes; grey rows have no pixels.
  """
  matrix = np.asarray(matrix, np.float64)
  n = len(names)
  if matrix.shape != (n, n):
    raise ValueError(f'{n} names ask for {(n, n)} counts, not {matrix.shape}')
  totals = matrix.sum(1, keepdims=True)
  shares = matrix / np.maximum(totals, 1)

  numbers = n <= 30
  cell = max(36, 360 // n) if numbers else 16
  size = int(np.clip(cell // 4, 12, 18)) if numbers else 10
  titles = [
      text_tile('rows: label', size),
      text_tile('columns: prediction', size),
  ]
  words = [text_tile(name, size) for name in names]
  edge = max(tile.shape[1] for tile in titles + words) + 2 * size
  page = np.full((edge + n * cell + size,) * 2 + (3,), PAPER, np.uint8)
  for i, tile in enumerate(titles):
    paste(page, tile, size + i * tile.shape[0], size)

  low, high = np.array(RAMP)
  colors = np.rint(low + shares[..., None] * (high - low)).astype(np.uint8)
  for i in range(n):
    middle = edge + i * cell + cell // 2
    height, width = words[i].shape[:2]
    along, across = edge - width - size // 2, middle - height // 2
    paste(page, words[i], across, along)
    paste(page, np.rot90(words[i]), along, across)
    for j in range(n):
      color = colors[i, j] if totals[i] else NO_DATA
      ink = PAPER if shares[i, j] > 0.5 else INK
      y, x = edge + i * cell, edge + j * cell
      page[y : y + cell - 1, x : x + cell - 1] = color
      if numbers:
        tile = text_tile(_percent(shares[i, j]), size, ink, color)
        y += (cell - 1 - tile.shape[0]) // 2
        x += (cell - 1 - tile.shape[1]) // 2
        paste(page, tile, y, x)
  return page


def _percent(share):
  """Returns '87'; '' for 0, and never '0' or '100' for what is close to it."""
  if share < 0.005:
    return '<1' if share else ''
  return '>99' if 0.995 <= share < 1 else f'{100 * share:.0f}'


def reliability(
    counts: np.ndarray,
    confidence: np.ndarray,
    accuracy: np.ndarray,
    side: int = 240,
) -> np.ndarray:
  """Draws how often decisions of each confidence are right.

  Args:
    counts: decisions in each of N bins of confidence, from 0 to 1.
    confidence: their mean confidence, [N].
    accuracy: share of them that is right, [N].
    side: pixels of the diagram on each side.

  Returns:
    [H, W, 3]: bars of the accuracy, paler where fewer decisions are, a mark at
    each mean confidence, the diagonal on which both are equal, and below it the
    share of the decisions in each bin.
  """
  size, below = 11, 40
  edge = 4 * size
  page = np.full((side + below + edge + size, side + edge + size, 3), 255)
  page = page.astype(np.uint8)
  bottom, right = size + side, edge + side
  shares = np.asarray(counts) / max(np.sum(counts), 1)
  xs = np.rint(edge + np.linspace(0, side, len(shares) + 1)).astype(int)
  low, high = np.array(RAMP)
  for i, share in enumerate(shares):
    left, end = xs[i], xs[i + 1] - 1
    if not share:
      continue
    strength = 0.25 + 0.75 * np.sqrt(share / shares.max())
    top = bottom - round(side * float(accuracy[i]))
    page[top:bottom, left:end] = np.rint(low + strength * (high - low))
    mark = min(bottom - round(side * float(confidence[i])), bottom - 2)
    page[mark : mark + 2, left:end] = INK
    height = round(below * float(share / shares.max()))
    page[bottom + below - height : bottom + below, left:end] = NO_DATA
  cv2.line(page, (edge, bottom), (right, size), INK, 1, cv2.LINE_AA)
  cv2.rectangle(page, (edge, size), (right, bottom), INK, 1)
  for value in (0.0, 0.5, 1.0):
    tile = text_tile(f'{value:g}', size)
    y, x = bottom - round(side * value), edge + round(side * value)
    paste(page, tile, y - size, edge - tile.shape[1] - 2)
    paste(page, tile, bottom + below + 2, x - tile.shape[1] // 2 - 2)
  words = text_tile('confidence', size)
  place = edge + (side - words.shape[1]) // 2
  paste(page, words, bottom + below + 2 + 2 * size, place)
  words = np.rot90(text_tile('accuracy', size))
  paste(page, words, size + (side - words.shape[0]) // 2, 0)
  return page


def curves(
    title: str,
    lines: Mapping[str, Mapping[int, float]],
    size: tuple[int, int] = (360, 220),
) -> np.ndarray:
  """Draws values over steps, with a line and an entry in the legend for each.

  Args:
    title: what is drawn.
    lines: {name: {step: value}}.
    size: (width, height) of the plot in pixels.

  Returns:
    [H, W, 3], from 0 to the largest value.
  """
  width, height = size
  text, steps = 12, [step for line in lines.values() for step in line]
  highest = max(value for line in lines.values() for value in line.values())
  labels = [text_tile(f'{share * highest:.3g}', text) for share in (1, 0.5, 0)]
  left = max(label.shape[1] for label in labels) + 4
  page = np.full((height + 4 * text, left + width + text, 3), PAPER, np.uint8)
  for label, share in zip(labels, (0, 0.5, 1), strict=True):
    y = text + round(share * height)
    cv2.line(page, (left, y), (left + width, y), NO_DATA, 1)
    paste(page, label, max(y - text, 0), left - label.shape[1] - 2)
  end = text_tile(f'step {max(steps)}', text)
  paste(page, end, height + 2 * text, left + width - end.shape[1])
  for line, color in zip(lines.values(), LINES, strict=False):
    points = [
        (
            left + width * step / max(steps),
            text + height * (1 - value / highest),
        )
        for step, value in sorted(line.items())
    ]
    cv2.polylines(
        page, [np.rint(points).astype(np.int32)], False, color, 2, cv2.LINE_AA
    )
  entries = [
      legend_entry(name, color, text)
      for name, color in zip(lines, LINES, strict=False)
  ]
  return pictures.captioned(np.vstack([page, *_as_wide(entries, page)]), title)


def _as_wide(tiles, page):
  """Returns tiles with white at their right, as wide as a page."""
  return [
      np.pad(
          tile,
          ((0, 0), (0, page.shape[1] - tile.shape[1]), (0, 0)),
          constant_values=255,
      )
      for tile in tiles
  ]
