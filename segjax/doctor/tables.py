"""Describes the images, classes and objects of splits, as lines of text."""

import collections
from collections.abc import Sequence

import numpy as np

from segjax.data import class_weights
from segjax.data import object_statistics
from segjax.doctor.examples import Split

SHOWN = 10  # Lines of a long list that are shown; the rest is counted.


def sizes(split: Split) -> str:
  """Describes number, type and sizes of the images of a split."""
  heights, widths = np.array([g.size for g in split.good]).T
  kinds = collections.Counter(f'{g.channels} x {g.dtype}' for g in split.good)
  lines = [f'The {split.title} of {len(split.good)} images: {share(kinds)}']
  for title, values in (('height', heights), ('width', widths)):
    lines.append(
        f'  {title:6}  {values.min():6} smallest  {np.median(values):8g} median'
        f'  {values.max():6} largest'
    )
  for rest in getattr(split.dataset, 'left_out', ()):
    lines.append(f'  left out of {rest}')
  return '\n'.join(lines)


def classes(splits: Sequence[Split]) -> str:
  """Tabulates how often each class occurs, and the weights for training."""
  names = splits[0].dataset.label_map.names
  width = max(len(name) for name in (*names, 'ignored'))
  head = ' ' * (width + 5)
  columns = []
  for split in splits:
    head += f'{split.dataset.split:>12.12}{"in images":>11}'
    pixels = split.counts.sum(0)
    shares = pixels / max(pixels.sum(), 1)
    images = (split.counts > 0).sum(0)
    columns.append(
        [f'{s:12.3%}{n:11}' for s, n in zip(shares, images, strict=True)]
    )
  if splits[0].role == 'train':
    head += f'{"median freq.":>14}{"1/ln(1.02+f)":>14}'
    median = class_weights.median_frequency(splits[0].counts)
    inverse = class_weights.inverse_log(splits[0].counts)
    columns.append(
        [f'{m:14.4f}{v:14.4f}' for m, v in zip(median, inverse, strict=True)]
    )
  lines = [head]
  for i, name in enumerate(names):
    row = ''.join(column[i] for column in columns)
    lines.append(f'{i:4} {name:{width}}{row}')
  ignored = ''.join(column[-1] for column in columns[: len(splits)])
  lines.append(f'     {"ignored":{width}}{ignored}')
  return '\n'.join(lines)


def objects(split: Split) -> str:
  """Describes the objects of a split."""
  counts = [len(g.objects) for g in split.good if g.objects is not None]
  return (
      f'The {split.title} has {sum(counts)} objects, {np.median(counts):g} in'
      f' an image in the median, {max(counts)} at most\n'
      + object_statistics.table(split.objects, split.dataset.label_map.names)
  )


def share(counter: collections.Counter) -> str:
  """Formats a Counter as 'key (count), ...', the most common first."""
  return ', '.join(f'{name} ({n})' for name, n in counter.most_common())


def listing(lines: Sequence[str]) -> str:
  """Formats the first `SHOWN` lines of a list, and the number of others."""
  shown = [f'\n  {line}' for line in lines[:SHOWN]]
  if len(lines) > SHOWN:
    shown.append(f'\n  and {len(lines) - SHOWN} more')
  return ''.join(shown)
