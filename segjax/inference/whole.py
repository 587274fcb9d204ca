"""Predicts whole images, for tasks whose outputs cannot be averaged.

Objects predicted in two tiles or at two scales cannot be averaged, so a task
such as the panoptic one predicts an image once and as a whole.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
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
    on_error: Callable[[dict, Exception], None] | None = None,
) -> Iterator[tuple[dict, dict]]:
  """Predicts images in views or as a whole, depending on the task.

  Args:
    task: a module of segjax/tasks.
    forward: function from a batch of fields to outputs {name: [B, ...]}.
    examples: see `views.predict`.
    options: options of prediction.
    probabilities: whether predictions of a task per pixel include them.
    on_error: see `views.predict`.

  Yields:
    (example, prediction). A prediction is a dict of arrays of one image, at the
    size of its label.
  """
  if task.PER_PIXEL:
    yield from views.predict(
        forward, examples, options, probabilities, on_error
    )
  else:
    boxes = getattr(task, 'BOXES', ())
    yield from predict(forward, examples, options, on_error, boxes)


def predict(
    forward: Callable,
    examples: Iterable[dict],
    options: Inference,
    on_error: Callable[[dict, Exception], None] | None = None,
    boxes: Sequence[str] = (),
) -> Iterator[tuple[dict, dict]]:
  """Predicts whole images, and batches successive ones of equal shapes.

  Args:
    forward: function from a batch {field: [B, h, w, ...]} to {name: [B, ...]}.
    examples: dictionaries with the fields that `options.reads` names, and with
      the `label` or the `size` (height, width) to predict for; of a padded
      image also with its `content`, see `views.predict`.
    options: options of prediction. Scales, mirroring, windows and refinements
      are for tasks per pixel.
    on_error: see `views.predict`.
    boxes: names of outputs [B, N, 4] that are y0 x0 y1 x1 in pixels.

  Yields:
    (example, {name: array}). Outputs of the size of the image are resized to
    that of the label: integers take the nearest pixel, others are interpolated.
    Boxes are in pixels of the label, and end at its border.

  Raises:
    ValueError: an option for tasks per pixel is not at its default.
  """
  defaults = Inference()
  per_pixel = ('mode', 'scales', 'short_sides', 'flip', 'temperature', 'refine')
  for name in per_pixel:
    if getattr(options, name) != getattr(defaults, name):
      raise ValueError(
          f'config.predict.{name}={getattr(options, name)!r} is for tasks per'
          f' pixel; this one sees an image as a whole: leave it at'
          f' {getattr(defaults, name)!r}.'
      )

  def complete():
    for example in examples:
      try:
        fields.check(options.reads, example, 'The model')
      except ValueError as error:
        _give_up([example], error, on_error)
      else:
        yield example

  def shapes(example):
    return [example[name].shape for name in options.reads]

  for _, same_shape in itertools.groupby(complete(), shapes):
    while group := list(itertools.islice(same_shape, options.batch_size)):
      try:
        predicted = _predict_batch(forward, group, options, boxes)
      except Exception as error:
        _give_up(group, error, on_error)
      else:
        yield from predicted


def _give_up(examples, error, on_error):
  if on_error is None:
    raise error
  for example in examples:
    on_error(example, error)


def _predict_batch(forward, group, options, boxes):
  """Returns [(example, {name: array}), ...] for up to `batch_size` examples."""
  batch = {
      name: np.stack([example[name] for example in group])
      for name in options.reads
  }
  missing = options.batch_size - len(group)
  if missing:  # Repeats the last image; the outputs are not used.
    batch = {
        name: np.concatenate([x, np.repeat(x[-1:], missing, 0)])
        for name, x in batch.items()
    }
  sides = batch['image'].shape[1:3]
  outputs = jax.device_get(forward(batch))
  predicted = []
  for i, example in enumerate(group):
    size = example['label'].shape[:2] if 'label' in example else example['size']
    # What was padded is cut off.
    content = example.get('content', sides)

    def fit(name, x, content=content, size=size):
      if name in boxes:
        return _scale(x, np.divide(size, content), size)
      if x.shape[:2] == sides:
        return _resize(x[: round(content[0]), : round(content[1])], size)
      return x

    prediction = {name: fit(name, x[i]) for name, x in outputs.items()}
    predicted.append((example, prediction))
  return predicted


def _scale(boxes, ratio, size):
  """Scales boxes [N, 4] by a ratio (rows, columns), and cuts them at `size`."""
  scaled = boxes * np.tile(ratio, 2)
  return scaled.clip(0, np.tile(size, 2)).astype(np.float32)


def _resize(array, size):
  """Resizes an output [h, w] or [h, w, C] to `size` (height, width)."""
  if array.shape[:2] == tuple(size):
    return array
  integers = np.issubdtype(array.dtype, np.integer)
  method = cv2.INTER_NEAREST_EXACT if integers else cv2.INTER_LINEAR
  # OpenCV does not support int32; float64 represents all of its values.
  supported = array.astype(np.float64) if integers else array
  resized = cv2.resize(supported, size[::-1], interpolation=method)
  return resized.reshape(*size, *array.shape[2:]).astype(array.dtype)
