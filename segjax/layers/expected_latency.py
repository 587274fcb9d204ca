"""The latency that is expected of an architecture while it is searched for.

The latencies of single operations come from a table that was measured, by
`segjax.tools.latency`; their sum is weighted by what an architecture gives each
operation, path and width, so that gradients reach these. See FasterSeg,
https://arxiv.org/abs/1912.10917, section 3.2.
"""

from collections.abc import Mapping
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.slimmable import Width
from segjax.layers.slimmable import of_cells
from segjax.layers.slimmable_paths import OPERATIONS
from segjax.layers.slimmable_paths import SCALES
from segjax.layers.slimmable_paths import cell_widths


def operators(
    size: tuple[int, int],
    layers: int,
    features: int,
    widths: Sequence[int],
    ends: int,
) -> dict[str, tuple]:
  """Returns what is timed for the expected latency.

  Args:
    size: (height, width) of the image.
    layers: see `PathNetwork`, as for the others.
    features: channels at full width.
    widths: in twelfths.
    ends: width of stem and heads of the student.

  Returns:
    {key: (operation, height, width, input channels, features, stride)}; the
    operation of the first convolution is 'conv'.
  """
  known = {}

  def add(*operator):
    known[key(*operator)] = operator

  for operator in _stem(size, features, ends):
    add(*operator)
  height, columns = (side // 8 for side in size)
  for layer in range(layers):
    for scale in range(min(layer + 1, SCALES)):
      side = height >> scale, columns >> scale
      numbers = [list(range(len(widths)))] * SCALES
      every = [[numbers[0]] * layers for _ in range(SCALES)]
      end = [list(widths).index(ends)]
      read, keep, down = cell_widths(layer, scale, layers, every, end)
      for stride, written in ((1, keep), (2, down)):
        for i in read if written is not None else ():
          for j in written:
            for kind in OPERATIONS:
              add(
                  kind,
                  *side,
                  _count(features, scale, widths[i]),
                  _count(features, scale + stride - 1, widths[j]),
                  stride,
              )
  return known


def _stem(size, features, ends):
  """Returns the operators of the student's stem; see `operators`."""
  height, columns = size
  channels, found = 3, []
  for kind, width in (('conv', 2), ('conv_2x', 4), ('conv_2x', 8)):
    count = round(features * width * ends / 12) * (2 if width < 8 else 1)
    found.append((kind, height, columns, channels, count, 2))
    height, columns, channels = height // 2, columns // 2, count
  return found


def key(
    operation: str, height: int, width: int, read: int, write: int, stride: int
) -> str:
  """Returns the name of an operator in a table of latencies."""
  return f'{operation} {height}x{width} {read}-{write} stride {stride}'


def _count(features, scale, width):
  """Returns the channels of a cell, for a width in twelfths."""
  return int(features * 8 * 2**scale * width / 12)


def expected_latency(
    table: Mapping[str, float],
    size: tuple[int, int],
    *,
    layers: int,
    features: int,
    widths: Sequence[int],
    ends: int,
    alphas: Sequence[jax.Array],
    betas: Sequence[jax.Array | None],
    chosen: Sequence[Width],
    published: bool = False,
) -> jax.Array:
  """Returns the latency that is expected of an architecture, in milliseconds.

  Args:
    table: latency of each of `operators`.
    size: (height, width) of the image.
    layers: see `operators`, as for the next ones.
    features: channels at full width.
    widths: in twelfths.
    ends: width of stem and heads.
    alphas: see `PathNetwork`, as for `betas`.
    betas: weights of what comes from the finer and from the same scale.
    chosen: of each scale the widths of its cells.
    published: adds up as the authors' code, which weighs the paths to all
      scales of a layer by the betas of its last scale, those of layer 2 by the
      last row, and counts what a cell keeps in what goes down from it, too.

  Raises:
    ValueError: the table lacks an operator.
  """

  def time(*operator):
    name = key(*operator)
    if name not in table:
      raise ValueError(
          f'The table of latencies lacks {name!r}: measure one for this'
          ' config by python -m segjax.tools.latency.'
      )
    return table[name]

  def mixture(side, scale, stride, alpha, read, write):
    """The latency of all operations, weighted, at the widths that it has."""
    to = scale + stride - 1
    times = jnp.array(
        [
            [
                [
                    time(
                        kind,
                        *side,
                        _count(features, scale, widths[i]),
                        _count(features, to, widths[j]),
                        stride,
                    )
                    for kind in OPERATIONS
                ]
                for j in _indices(write, widths)
            ]
            for i in _indices(read, widths)
        ]
    )
    row = read.index if len(times) > 1 else 0
    column = write.index if times.shape[1] > 1 else 0
    return (times[row, column] * alpha).sum() * read.score * write.score

  height, columns = (side // 8 for side in size)
  total = sum(time(*operator) for operator in _stem(size, features, ends))
  end = Width(list(widths).index(ends))
  chosen = [of_cells(row) for row in chosen]
  # Latency of what stays on each scale, and of what goes down from it.
  keeps, downs = [total, 0.0, 0.0], [0.0, 0.0, 0.0]
  for layer in range(layers):
    # That code reads totals that this layer has changed already.
    finer = downs if published else list(downs)
    scales = min(layer + 1, SCALES)
    for scale in range(scales):
      side = height >> scale, columns >> scale
      read, keep, down = cell_widths(layer, scale, layers, chosen, end)
      alpha = alphas[scale][layer - scale]
      kept = mixture(side, scale, 1, alpha, read, keep)
      lowered = 0.0
      if down is not None:
        lowered = mixture(side, scale, 2, alpha, read, down)
      beta = None
      if 0 < scale < layer:  # Inputs of the finer and of the same scale.
        beta = betas[scale][layer - scale - 1]
        kept, lowered = kept * beta.sum(), lowered * beta.sum()
        if published:
          beta = betas[scales - 1][layer - scales]
      start = _arriving(scale, beta, keeps, finer)
      keeps[scale] = start + kept
      if published:
        start = _arriving(scale, beta, keeps, finer)
      if down is not None or (published and beta is not None):
        downs[scale] = start + lowered
  return sum(keeps)


def _arriving(scale, beta, keeps, finer):
  """Returns the latency up to a cell, weighted by `beta` of its two inputs."""
  if beta is not None:
    return beta[1] * keeps[scale] + beta[0] * finer[scale - 1]
  return finer[scale - 1] if scale else keeps[0]


def _indices(width, widths):
  """Returns which widths a cell may have: one that is fixed, or all."""
  if isinstance(width.index, int | np.integer):
    return [width.index]
  return range(len(widths))
