"""Initialises a run with the weights of another, `config.init_from`."""

import math
import re
from typing import Any

from absl import logging
from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.ops.position_table import resize_table


def read(init_from: str) -> tuple[str, dict]:
  """Reads the weights of another run.

  Args:
    init_from: the workdir of a run or of `segjax.convert`.

  Returns:
    Where they are from, for the log, and {collection: variables}.

  Raises:
    FileNotFoundError: there is no checkpoint.
  """
  workdir = Workdir(init_from)
  step, saved = checkpoint.best(workdir.checkpoints)
  return f'step {step} of {workdir.path}', saved


def start(
    state: Any, saved: dict, origin: str, *, init_only: str, channels: int
) -> Any:
  """Returns a train state with those variables of others that fit.

  Args:
    state: the freshly initialised train state.
    saved: {collection: variables} of a similar model.
    origin: where they are from, for the log.
    init_only: regular expression; only variables whose names match are taken.
      '' takes all.
    channels: number of channels of the images.

  Raises:
    ValueError: no variable fits.
  """
  variables, table = fill(
      {'params': state.params, **state.mutable},
      saved,
      channels=channels,
      only=init_only,
  )
  logging.info('Beginning with %s: %s', origin, table)
  variables = jax.tree.map(jnp.asarray, variables)
  params = variables.pop('params')
  return state.replace(
      params=params,
      mutable=variables,
      # `params` and `ema` are donated to the step, so they cannot share
      # buffers.
      ema=jax.tree.map(jnp.copy, params) if state.ema else {},
  )


def fill(
    variables: dict, saved: dict, *, channels: int, only: str = ''
) -> tuple[dict, str]:
  """Replaces the values of variables by saved ones with the same name.

  Saved variables must have the same shape, with two exceptions. If the kernel
  that reads the image was trained with another number of channels, its weights
  are averaged over channels and scaled so that the response to a grey image
  stays the same. Position embeddings are resized from one square grid to
  another. Variables without a fitting saved one keep their initial values.

  Args:
    variables: variables of a freshly initialised model.
    saved: variables of the same or a similar model, such as its backbone alone.
    channels: number of channels of the images.
    only: regular expression that is searched in the names of variables, such as
      'backbone/stem/conv/kernel', without the collection; others are left out.

  Returns:
    The variables, and a text that lists those that were not simply copied.

  Raises:
    ValueError: no variable would be replaced.
  """
  try:
    matches = re.compile(only).search
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
    if not matches(path.partition('/')[2]):
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
  summary = f'{taken} of {len(ours)} variables fit'
  return traverse_util.unflatten_dict(filled, sep='/'), (
      f'{summary}. The others:\n{_table(rows)}' if rows else f'{summary}.'
  )


def _sees_image(other, value, channels):
  """Tells whether two kernels differ only in the channels of the image."""
  return (
      value.ndim == other.ndim == 4
      and value.shape[2] == channels
      and value.shape[:2] + value.shape[3:] == other.shape[:2] + other.shape[3:]
  )


def _grids(*tables):
  """Returns the grids [(n, n), ...] of tables [1, N + n * n, C], or None.

  N is 1 for all of them, the class token of a ViT, or 0: positions in windows.
  """
  for tokens in (0, 1):
    sides = [math.isqrt(table.shape[1] - tokens) for table in tables]
    square = all(
        side * side + tokens == table.shape[1]
        for side, table in zip(sides, tables, strict=True)
    )
    if square and len({table.shape[2] for table in tables}) == 1:
      return [(side, side) for side in sides]
  return None


def _spread(kernel, channels):
  """Converts a kernel [h, w, C, out] to images with `channels` channels."""
  total = np.asarray(kernel, np.float32).sum(2, keepdims=True)
  return np.repeat(total / channels, channels, 2)


def _table(rows):
  """Formats rows (name, array, note) as aligned lines."""
  rows = [(path, str(list(value.shape)), note) for path, value, note in rows]
  widths = [max(len(row[i]) for row in rows) for i in range(2)]
  return '\n'.join(
      f'  {path:<{widths[0]}}  {shape:<{widths[1]}}  {note}'
      for path, shape, note in rows
  )
