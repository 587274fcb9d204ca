"""Computes the outputs of a view of an image, one band of rows after another.

A view, a scaled and maybe mirrored image, is covered by windows of one shape.
Where windows overlap, their outputs are averaged with the weights of
`windows.windows`. The device holds only the band of rows that the next chunk of
the result needs.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data import fields
from segjax.inference.windows import reflect
from segjax.inference.windows import round_up
from segjax.inference.windows import taps
from segjax.inference.windows import windows
from segjax.runtime import programs


class View:
  """A scaled and maybe mirrored image with its other fields.

  `band` is a generator that asks for the outputs of windows: it yields a list
  of windows, dicts of arrays, is sent a list of their outputs, and returns a
  band of rows of the averaged outputs.
  """

  def __init__(self, shown, size, shape, options, mirrored, content=None):
    """Computes the positions of the windows.

    Args:
      shown: {field: array} of the view; spatial fields are [h, w, ...].
      size: (height, width) of the result.
      shape: (rows, columns) of a chunk of the result.
      options: an `Inference`.
      mirrored: whether the view is mirrored, left to right.
      content: (height, width) of what is not padding, at the top and, unless it
        is mirrored, on the left; by default all of the view.
    """
    h, w = shown['image'].shape[:2]
    rows, columns = content or (h, w)
    window, stride = options.window, options.stride
    if options.mode == 'whole':
      window = stride = round_up((h, w), options.pad_to)
    self.shown, self.window, self.halo = shown, window, options.halo
    self.ys = windows(h, window[0], stride[0], options.weights)
    self.xs = windows(w, window[1], stride[1], options.weights)
    self.rows = functools.partial(taps, count=shape[0], old=rows, new=size[0])
    self.columns = taps(0, shape[1], columns, size[1], w if mirrored else 0)

    # A band begins at the first row that a chunk of the result reads. It ends
    # with the last window that begins before the rows of the next chunk.
    self.step = math.ceil(rows / size[0])
    depth = math.ceil(shape[0] * rows / size[0]) + self.step + window[0]
    self.shape = round_up(
        (min(depth, max(h, window[0])), max(w, window[1])), options.pad_to
    )
    self.outputs, self.top = None, 0

  def band(self, start):
    """Yields windows; returns a band of outputs and how to resize it.

    Args:
      start: first row of the chunk of the result.

    Returns:
      {name: [h, w, K]}, the band; and `windows.taps` of its rows and columns
      for the pixels of the chunk.
    """
    low, fraction = self.rows(start)
    if start:
      self.outputs = _scroll(self.outputs, low[0] - self.top)
      self.top = low[0]
    while self.ys and self.ys[0][0] <= low[-1] + self.step:
      y, share = self.ys.pop(0)
      row = yield [self._crop(y, x) for x, _ in self.xs]
      if _sides(row[0]) == self.shape:
        self.outputs = row[0]  # A single window covers the view.
        break
      if self.outputs is None:
        # `jnp.zeros` would compile, and keep, a program for each shape.
        self.outputs = {
            name: jax.device_put(
                np.zeros((*self.shape, x.shape[-1]), np.float32)
            )
            for name, x in row[0].items()
        }
      for outputs, (x, other) in zip(row, self.xs, strict=True):
        self.outputs = _add(
            self.outputs, outputs, share, other, y - self.top, x
        )
    return self.outputs, (low - self.top, fraction), self.columns

  def _crop(self, y, x):
    """Returns the fields of the window at (y, x).

    Pixels beyond the image have the value `outside` of the kind of a field; for
    a model with a halo they are mirrored.
    """
    h, w = self.window
    window = {}
    for name, array in self.shown.items():
      if not fields.is_spatial(name):
        window[name] = array
      elif self.halo:
        rows, columns = (
            reflect(start - self.halo, start + size + self.halo, length)
            for start, size, length in zip(
                (y, x), self.window, array.shape[:2], strict=True
            )
        )
        window[name] = array[rows[:, None], columns]
      else:
        crop = array[y : y + h, x : x + w]
        missing = (0, h - crop.shape[0]), (0, w - crop.shape[1])
        if np.any(missing):
          border = *missing, *[(0, 0)] * (crop.ndim - 2)
          outside = fields.kind(name).outside
          crop = np.pad(crop, border, constant_values=outside)
        window[name] = crop
    return window


def _sides(outputs):
  """Returns the (height, width) of outputs {name: [h, w, K]}."""
  return next(iter(outputs.values())).shape[:2]


@programs.bounded_jit(donate_argnums=0)
def _add(band, outputs, rows, columns, y, x):
  """Adds the outputs {name: [h, w, K]} of a window, weighted, to a band."""

  def add(band, output):
    output = output.astype(band.dtype) * rows[:, None, None] * columns[:, None]
    part = jax.lax.dynamic_slice(band, (y, x, 0), output.shape)
    return jax.lax.dynamic_update_slice(band, part + output, (y, x, 0))

  return jax.tree.map(add, band, outputs)


@programs.bounded_jit
def _scroll(band, rows):
  """Drops the first `rows` rows of a band, and appends as many of zeros."""

  def scroll(band):
    index = jnp.arange(len(band)) + rows
    return jnp.take(band, index, axis=0, mode='fill', fill_value=0)

  return jax.tree.map(scroll, band)


@programs.bounded_jit(static_argnums=5)
def accumulate(
    total: Any,
    weight: Any,
    band: dict[str, jax.Array],
    rows: Any,
    columns: Any,
    overlapping: bool = False,
) -> dict[str, jax.Array]:
  """Resizes a band by linear interpolation and adds it to a weighted sum.

  Args:
    total: the sum so far, {name: [H, W, K]}, or 0.0 for the first band.
    weight: weight of the band.
    band: {name: [h, w, K]}. 'logits' become 'probabilities' by a softmax, or by
      a sigmoid where classes overlap; other outputs are added as they are.
    rows: taps of the rows, from `windows.taps`.
    columns: taps of the columns.
    overlapping: whether a pixel may be of several classes.

  Returns:
    {name: [H, W, K]}.
  """
  (y, dy), (x, dx) = rows, columns
  dy, dx = dy[:, None, None], dx[:, None]

  def resize(band):
    below = jnp.minimum(y + 1, len(band) - 1)
    values = band[y] * (1 - dy) + band[below] * dy
    right = jnp.minimum(x + 1, band.shape[1] - 1)
    return values[:, x] * (1 - dx) + values[:, right] * dx

  resized = {name: resize(values) for name, values in band.items()}
  activate = jax.nn.sigmoid if overlapping else jax.nn.softmax
  resized['probabilities'] = activate(resized.pop('logits'))
  if not isinstance(total, dict):
    return jax.tree.map(lambda x: weight * x, resized)
  return jax.tree.map(lambda sum_, x: sum_ + weight * x, total, resized)


@programs.bounded_jit(static_argnums=2)
def temper(
    probabilities: jax.Array, temperature: Any, overlapping: bool = False
) -> jax.Array:
  """Returns probabilities [H, W, K] at a temperature.

  Those of a softmax become what softmax(logits / temperature) is, and where
  classes overlap, sigmoid(logits / temperature); see `evaluation.calibration`.
  """
  smallest = np.finfo(np.float32).tiny
  if overlapping:
    p = jnp.clip(probabilities, smallest, 1 - 2.0**-24)
    return jax.nn.sigmoid((jnp.log(p) - jnp.log1p(-p)) / temperature)
  logs = jnp.log(jnp.maximum(probabilities, smallest))
  return jax.nn.softmax(logs / temperature)


def decide(probabilities: jax.Array, threshold: float) -> np.ndarray:
  """Returns the most probable class of each pixel, [H, W] uint8.

  Args:
    probabilities: [H, W, K].
    threshold: with two classes, the second one is chosen where its probability
      is above this.
  """
  return np.asarray(decide_on_device(probabilities, threshold)[0])


@programs.bounded_jit(static_argnums=2)
def decide_on_device(
    probabilities: jax.Array, threshold: Any, overlapping: bool = False
) -> tuple[jax.Array, jax.Array]:
  """Returns the most probable classes [H, W], and whether there is any NaN.

  Where classes overlap, the classes are [H, W, K], 1 above the threshold.
  """
  ids = chosen(probabilities, threshold, overlapping)
  return ids, jnp.isnan(probabilities).any()


def chosen(
    probabilities: jax.Array, threshold: Any, overlapping: bool
) -> jax.Array:
  """Returns the classes that probabilities [..., K] stand for, uint8.

  They are the most probable ones, [...]. With two classes, the second one is
  chosen above the threshold. Where classes overlap, each is, [..., K].
  """
  if overlapping:
    return (probabilities > threshold).astype(jnp.uint8)
  if probabilities.shape[-1] == 2:  # With threshold 0.5 nothing changes.
    probabilities *= jnp.stack([threshold, 1 - threshold])
  return jnp.argmax(probabilities, -1).astype(jnp.uint8)
