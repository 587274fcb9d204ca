"""Prediction of whole images, for tasks whose outputs cannot be averaged.

Objects of two tiles or two scales are not the same objects, so a task such as
the panoptic one sees an image once and as a whole.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import itertools
import types

import cv2
import jax
import numpy as np

from segjax.data import fields
from segjax.inference import views
from segjax.inference.views import Inference


def predict_by_task(
    task: types.ModuleType,
    forward: Callable,
    examples: Iterable[dict],
    options: Inference,
    probabilities: bool = False,
) -> Iterator[tuple[dict, dict]]:
  """Predicts images in views or as a whole, as their task wants it.

  Args:
    task: a module of segjax/tasks.
    forward: from a batch of fields to what the task predicts, {name: [B, ...]}.
    examples: see `views.predict`.
    options: of prediction.
    probabilities: whether a task per pixel returns those, too.

  Yields:
    (example, prediction), a dict of arrays of one image at the size of its
    label.
  """
  if task.PER_PIXEL:
    yield from views.predict(forward, examples, options, probabilities)
  else:
    yield from predict(forward, examples, options)


def predict(
    forward: Callable, examples: Iterable[dict], options: Inference
) -> Iterator[tuple[dict, dict]]:
  """Predicts whole images, in batches of those that follow each other.

  Args:
    forward: from a batch, {field: [B, h, w, ...]}, to {name: [B, ...]}.
    examples: dictionaries with the fields that `options.reads` names, and with
      the `label` or the `size` (height, width) to predict for; of a padded
      image also with its `content`, see `views.predict`.
    options: of prediction; scales, mirrors, windows and refinements, which are
      for tasks per pixel, are refused.

  Yields:
    (example, {name: array}). Maps of the size of the image are resized to that
    of the label: integers to the nearest pixel, and other numbers linearly.

  Raises:
    ValueError: an option is for tasks per pixel.
  """
  plain = Inference()
  for name in ('mode', 'scales', 'flip', 'refine'):
    if getattr(options, name) != getattr(plain, name):
      raise ValueError(
          f'config.predict.{name}={getattr(options, name)!r} is for tasks per'
          f' pixel; this one sees an image as a whole: leave it at'
          f' {getattr(plain, name)!r}.'
      )

  def shapes(example):
    fields.check(options.reads, example, 'The model')
    return [example[name].shape for name in options.reads]

  for _, alike in itertools.groupby(examples, shapes):
    while group := list(itertools.islice(alike, options.batch_size)):
      yield from _predict_batch(forward, group, options)


def _predict_batch(forward, group, options):
  batch = {
      name: np.stack([example[name] for example in group])
      for name in options.reads
  }
  missing = options.batch_size - len(group)
  if missing:  # The last image again, whose outputs are thrown away.
    batch = {
        name: np.concatenate([x, np.repeat(x[-1:], missing, 0)])
        for name, x in batch.items()
    }
  sides = batch['image'].shape[1:3]
  outputs = jax.device_get(forward(batch))
  for i, example in enumerate(group):
    size = example['label'].shape if 'label' in example else example['size']
    # What was padded is cut off.
    height, width = map(round, example.get('content', sides))
    yield example, {
        name: (
            _resize(x[i, :height, :width], size)
            if x.shape[1:3] == sides
            else x[i]
        )
        for name, x in outputs.items()
    }


def _resize(array, size):
  """Returns a map [h, w] or [h, w, C] at another size."""
  if array.shape[:2] == tuple(size):
    return array
  integers = np.issubdtype(array.dtype, np.integer)
  how = cv2.INTER_NEAREST_EXACT if integers else cv2.INTER_LINEAR
  # OpenCV has no int32; float64 holds all of its numbers.
  known = array.astype(np.float64) if integers else array
  resized = cv2.resize(known, size[::-1], interpolation=how)
  return resized.reshape(*size, *array.shape[2:]).astype(array.dtype)
