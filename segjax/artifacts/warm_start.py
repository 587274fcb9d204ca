"""Begins a run with the weights of another: `config.init_from`."""

import math
import re

from absl import logging
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.ops.position_table import resize_table


def start(state, init_from, init_only, channels):
  """Returns the state before the first step, with what fits of another run.

  Args:
    state: a fresh one.
    init_from: a workdir, of a run or of `segjax.convert`.
    init_only: regular expression of the variables to take; '' takes all.
    channels: of the images.

  Raises:
    FileNotFoundError: there is no checkpoint.
    ValueError: nothing in it fits.
  """
  workdir = Workdir(init_from)
  step, saved = checkpoint.best(workdir.checkpoints)
  variables, table = fill(
      {'params': state.params, **state.mutable},
      saved,
      channels=channels,
      only=init_only,
  )
  logging.info('Beginning with step %d of %s: %s', step, workdir.path, table)
  variables = jax.tree.map(jnp.asarray, variables)
  params = variables.pop('params')
  return state.replace(
      params=params,
      mutable=variables,
      # A copy: a buffer must not be donated twice.
      ema=jax.tree.map(jnp.copy, params) if state.ema else {},
  )


def fill(variables, saved, *, channels, only=''):
  """Returns variables with the values of others where these fit, and a table.

  Variables correspond by name. The kernel that sees the image may have been
  trained with another number of channels: each of ours gets the mean of its
  weights, scaled so that the response to a grey image stays. A table of
  positions is resized from one square grid to another. Any other variable of
  another shape keeps its initial value, and so does one that is not in `saved`.

  Args:
    variables: of a model, freshly initialised.
    saved: of the same or a similar one, such as its backbone alone.
    channels: of the images.
    only: regular expression that is found in the names (without the
      collection, 'backbone/stem/conv/kernel') of the variables to fill.

  Raises:
    ValueError: not one variable would be filled.
  """
  try:
    wanted = re.compile(only).search
  except re.error as error:
    raise ValueError(
        f'config.init_only={only!r} is no regular expression: {error}.'
    ) from error
  ours = traverse_util.flatten_dict(variables, sep='/')
  theirs = traverse_util.flatten_dict(saved, sep='/')
  filled, rows, taken = {}, [], 0
  for path, value in ours.items():
    filled[path] = value
    other = theirs.pop(path, None)
    if not wanted(path.partition('/')[2]):
      rows.append((path, value, 'initialised anew: init_only leaves it out'))
    elif other is None:
      rows.append((path, value, 'initialised anew: not there'))
    elif other.shape == value.shape:
      filled[path] = np.asarray(other, value.dtype)
      taken += 1
    elif _sees_image(other, value, channels):
      filled[path] = _spread(other, channels).astype(value.dtype)
      taken += 1
      rows.append((path, value, f'mean over the {other.shape[2]} channels'))
    elif path.endswith('/positions') and (grids := _grids(other, value)):
      filled[path] = np.asarray(resize_table(other, *grids))
      taken += 1
      rows.append((path, value, 'resized from {} to {}'.format(*grids)))
    else:
      rows.append((path, value, f'initialised anew: {list(other.shape)} there'))
  rows += [
      (path, value, 'there, but not used') for path, value in theirs.items()
  ]
  if not taken:
    raise ValueError(
        'No variable of config.init_from fits the model'
        f'{" and config.init_only" if only else ""}:\n{_table(rows)}'
    )
  said = f'{taken} of {len(ours)} variables fit'
  return traverse_util.unflatten_dict(filled, sep='/'), (
      f'{said}. The others:\n{_table(rows)}' if rows else f'{said}.'
  )


def _sees_image(other, value, channels):
  """Whether the kernels differ in that they see images of other channels."""
  return (
      value.ndim == other.ndim == 4
      and value.shape[2] == channels
      and value.shape[:2] + value.shape[3:] == other.shape[:2] + other.shape[3:]
  )


def _grids(*tables):
  """Returns the square grids of tables [1, 1 + n * n, C], or None."""
  sides = [math.isqrt(table.shape[1] - 1) for table in tables]
  square = all(
      side * side + 1 == table.shape[1]
      for side, table in zip(sides, tables, strict=True)
  )
  same_width = len({table.shape[2] for table in tables}) == 1
  return [(side, side) for side in sides] if square and same_width else None


def _spread(kernel, channels):
  """Returns a kernel [h, w, channels, out] of one with other channels."""
  total = np.asarray(kernel, np.float32).sum(2, keepdims=True)
  return np.repeat(total / channels, channels, 2)


def _table(rows):
  rows = [(path, str(list(value.shape)), note) for path, value, note in rows]
  wide = [max(len(row[i]) for row in rows) for i in range(2)]
  return '\n'.join(
      f'  {path:<{wide[0]}}  {shape:<{wide[1]}}  {note}'
      for path, shape, note in rows
  )
