"""Predicts label maps: whole images or sliding windows, scales and mirroring.

An image is predicted in views (scaled, mirrored), and each view in windows of
one shape; prediction of whole images uses one window. Windows of several images
share a batch. Views compute their outputs one band of rows after another, from
top to bottom, and a band becomes labels before the next is computed. So the
memory, except for the image and its labels, does not grow with the height. A
refinement, such as a CRF, needs the probabilities of the whole image.

Labels do not depend on the batch size: the padding of a window depends only on
its own size, and the outputs of images that fill up a batch are not used.

A network of valid convolutions reads a halo around each side of a window, which
is taken from the image and mirrored beyond its border (the overlap-tile
strategy of U-Net, https://arxiv.org/abs/1505.04597, figure 2).

The average over views is that of mmsegmentation 1.2.2.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses

import cv2
import jax
import numpy as np

from segjax import refine
from segjax.data import fields
from segjax.inference.bands import View
from segjax.inference.bands import accumulate
from segjax.inference.bands import decide
from segjax.inference.bands import decide_on_device
from segjax.inference.bands import temper
from segjax.inference.windows import grid
from segjax.inference.windows import round_up
from segjax.runtime import programs

MODES = ('whole', 'slide')
WEIGHTS = ('flat', 'hann')


@dataclasses.dataclass(frozen=True)
class Inference:
  """Options of prediction.

  They are the fields of `config.predict`; the last three come from the system,
  see `segjax.system.System`.
  """

  mode: str = 'whole'
  window: tuple[int, int] = (512, 512)  # Height and width; for 'slide'.
  stride: tuple[int, int] = (341, 341)  # Pixels between windows, for 'slide'.
  # Weights of the pixels of a window where windows overlap: 'flat' are equal,
  # 'hann' decrease towards the border.
  weights: str = 'flat'
  scales: tuple[float, ...] = (1.0,)
  # Lengths that the shorter side of each image is resized to, in the place of
  # `scales`; () for none. The longer side has at most `longest` pixels, or any
  # number with 0.
  short_sides: tuple[int, ...] = ()
  longest: int = 0
  flip: bool = False  # Also predicts the mirrored image, and averages.
  # With two classes, the second one is chosen where its probability is above
  # this; of classes that overlap, each.
  threshold: float = 0.5
  # Of the probabilities, after all that changes them: above 1 they are less
  # sure, and the most probable class stays the same; see `bands.temper`.
  temperature: float = 1.0
  # A file of segjax/refine with its options, such as 'dense_crf(iterations=5)',
  # that is applied to the average over views; '' applies none.
  refine: str = ''
  batch_size: int = 1  # Number of windows in a batch.
  # Sides grow to a multiple of this by zeros, which are cut off afterwards:
  # fewer shapes to compile. Scores change a little near the border and, of a
  # model that averages over the whole image, everywhere.
  pad_to: int = 1
  reads: tuple[str, ...] = ('image',)  # Fields that the model reads.
  halo: int = 0  # Pixels that the model loses on each side.
  # Whether a pixel may be of several classes, see `segjax.tasks.multilabel`.
  overlapping: bool = False

  def __post_init__(self):
    for name, known in (('mode', MODES), ('weights', WEIGHTS)):
      if getattr(self, name) not in known:
        raise ValueError(
            f'{name}={getattr(self, name)!r} is not one of {known}.'
        )
    for stride, window in zip(self.stride, self.window, strict=True):
      if not 0 < stride <= window:
        raise ValueError(
            f'stride={self.stride} must be positive and no larger than'
            f' window={self.window}, or pixels are left out.'
        )
    if not self.scales or min(self.scales) <= 0:
      raise ValueError(f'scales={self.scales} must be positive numbers.')
    if self.short_sides and self.scales != (1.0,):
      raise ValueError(
          f'scales={self.scales} and short_sides={self.short_sides} are two'
          ' ways to say at which sizes images are predicted: give one of them.'
      )
    if self.longest < 0 or min(self.short_sides, default=1) < 1:
      raise ValueError(
          f'short_sides={self.short_sides}, longest={self.longest}: give'
          ' lengths in pixels.'
      )
    if not 0 < self.threshold < 1:
      raise ValueError(f'threshold={self.threshold} must be between 0 and 1.')
    if not self.temperature > 0:
      raise ValueError(f'temperature={self.temperature} must be positive.')
    refine.build(self.refine)  # Raises if it cannot be read.
    if self.refine and self.overlapping:
      raise ValueError(
          f'refine={self.refine!r} is for pixels of one class, and these'
          ' classes overlap: leave it empty.'
      )
    for name in ('batch_size', 'pad_to'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)} must be at least 1.')

  def factors(self, size: tuple[int, int]) -> tuple[float, ...]:
    """Returns the scales at which an image of (height, width) is predicted."""
    most = self.longest / max(size) if self.longest else float('inf')
    return (
        tuple(min(side / min(size), most) for side in self.short_sides)
        or self.scales
    )


def predict(
    forward: Callable,
    examples: Iterable[dict],
    options: Inference,
    probabilities: bool = False,
    on_error: Callable[[dict, Exception], None] | None = None,
) -> Iterator[tuple[dict, dict]]:
  """Predicts the labels of a stream of images.

  Args:
    forward: function from a batch {field: [B, h, w, ...] float32 or uint8} of
      the fields that `options.reads` names to outputs {name: [B, h, w, K]},
      smaller by the halo on each side. B is `options.batch_size`, and 'logits'
      is one of the outputs. It may be compiled for each shape.
    examples: dictionaries with the normalised `image` [h, w, C] and the other
      fields that are read, and with the `label` or the `size` (height, width)
      to predict for. Where the image was padded, `content` says how much of
      it, (height, width), is to be predicted. A refinement wants the `raw`
      image of the size to predict for, too, [H, W, 3] of uint8.
    options: an `Inference`.
    probabilities: whether predictions include the probabilities.
    on_error: called with an example that cannot be predicted and with the
      reason; the others go on. By default the error is raised.

  Yields:
    (example, prediction), in the order in which images are finished, since
    several are in progress at a time. A prediction has the `labels` [H, W]
    uint8, or [H, W, K] where classes overlap, with `probabilities` also the
    `probabilities` [H, W, K] float32, where they are refined the labels before,
    `unrefined`, and the other outputs of `forward`, averaged over windows and
    views, [H, W, K] float32.
  """
  examples, size = iter(examples), options.batch_size
  in_progress = 0
  queues = {}  # {shape: list of (image, window) that wait for a batch}.

  def go_on(image, resume, *given):
    """Gives an image what it waits for, and queues what it wants next."""
    try:
      windows = resume(*given)
    except Exception as error:
      give_up(image, error)
      return
    for window in windows:
      shape = tuple(array.shape for array in window.values())
      queues.setdefault(shape, []).append((image, window))

  def give_up(image, error):
    nonlocal in_progress, queues
    if on_error is None:
      raise error
    in_progress -= 1
    waiting = {
        shape: [entry for entry in queue if entry[0] is not image]
        for shape, queue in queues.items()
    }
    queues = {shape: queue for shape, queue in waiting.items() if queue}
    on_error(image.example, error)

  while True:
    # Twice the images of a batch, because their shapes may be mixed.
    while in_progress < 2 * size and all(
        len(q) < size for q in queues.values()
    ):
      if (example := next(examples, None)) is None:
        break
      image = _Image(example, options, probabilities)
      in_progress += 1
      go_on(image, image.start)
    if not queues:
      return

    # Run a full batch or, if there is none, the part of a batch that waits
    # longest.
    shape = next((s for s, q in queues.items() if len(q) >= size), None)
    shape = shape or next(iter(queues))
    queue = queues.pop(shape)
    batch, rest = queue[:size], queue[size:]
    if rest:
      queues[shape] = rest
    try:
      outputs = _run(forward, [w for _, w in batch], size, options.halo)
    except Exception as error:
      for image in {id(image): image for image, _ in batch}.values():
        give_up(image, error)
      continue
    for i, (image, _) in enumerate(batch):
      go_on(image, image.give, _pick(outputs, np.int32(i)))
      if image.prediction:
        in_progress -= 1
        yield image.example, image.prediction


@programs.bounded_jit
def _pick(outputs, i):
  """Returns the outputs of the i-th window of a batch."""
  return {
      name: jax.lax.dynamic_index_in_dim(x, i, keepdims=False)
      for name, x in outputs.items()
  }


def _run(forward, windows, size, halo):
  """Applies the model to up to `size` windows: {name: [size, h, w, K]}."""
  batch = {}
  for name, first in windows[0].items():
    batch[name] = np.zeros((size, *first.shape), first.dtype)
    for i, window in enumerate(windows):
      batch[name][i] = window[name]
  outputs = forward(batch)
  shape = batch['image'].shape
  sides = tuple(side - 2 * halo for side in shape[1:3])
  for name, output in outputs.items():
    if output.ndim != 4 or output.shape[:3] != (size, *sides):
      raise ValueError(
          f'The model turned images {shape} into {name} {output.shape}: it'
          ' returns a vector for each pixel of its input, less a halo of'
          f' {halo} on each side.'
      )
  # Averaging takes place on one device, whichever computed the outputs.
  return jax.device_put(outputs, jax.local_devices()[0])


class _Image:
  """An image in progress, which needs outputs of windows until it is done."""

  def __init__(self, example, options, probabilities):
    self.example, self.prediction = example, None
    self._steps = _predict_image(example, options, probabilities)

  def start(self):
    """Returns the first windows whose outputs are needed."""
    return self._resume(None)

  def give(self, outputs):
    """Takes the outputs of the next window; returns the windows needed now."""
    self._outputs.append(outputs)
    complete = len(self._outputs) == self._wanted
    return self._resume(self._outputs) if complete else []

  def _resume(self, outputs):
    """Continues with outputs of windows; returns the windows needed next."""
    try:
      windows = self._steps.send(outputs)
    except StopIteration as end:
      self.prediction = end.value
      return []
    self._outputs, self._wanted = [], len(windows)
    return windows


def _predict_image(example, options, probabilities):
  """Yields windows, is sent their outputs, and returns the prediction."""
  name = example.get('name', 'an image')
  size = example['label'].shape[:2] if 'label' in example else example['size']
  height, width = size
  # The result is computed in chunks of rows, all in arrays of one shape.
  chunk = height
  if options.mode == 'slide':
    chunk = min(height, options.window[0])
  shape = round_up((chunk, width), options.pad_to)
  starts = grid(height, chunk, chunk)
  fields.check(options.reads, example, 'The model')
  shown = {field: example[field] for field in options.reads}
  views = _views(shown, size, shape, options, example.get('content'))
  if len(starts) > 1:
    views = list(views)  # All are needed for each chunk.
  num_sizes = len(options.short_sides) or len(options.scales)
  weight = 1 / (num_sizes * (1 + options.flip))
  refinement = refine.build(options.refine)

  labels, results = None, {}
  for start in starts:
    total = 0.0
    for view in views:
      band, rows, columns = yield from view.band(start)
      total = accumulate(
          total, weight, band, rows, columns, options.overlapping
      )
    if options.temperature != 1 and not refinement:
      total['probabilities'] = temper(
          total['probabilities'], options.temperature, options.overlapping
      )
    ids, has_nan = decide_on_device(
        total['probabilities'], options.threshold, options.overlapping
    )
    if has_nan:
      raise ValueError(
          f'The logits of {name!r} are not finite: the parameters or the image'
          ' contain NaN or infinity.'
      )
    if labels is None:
      labels = np.empty((*size, *ids.shape[2:]), np.uint8)
    labels[start : start + chunk] = np.asarray(ids)[:chunk, :width]
    if not probabilities and not refinement:
      total.pop('probabilities')
    for output, values in total.items():
      if output not in results:
        results[output] = np.empty((*size, values.shape[-1]), np.float32)
      rows = np.asarray(values)[:chunk, :width]
      results[output][start : start + chunk] = rows
  if refinement:
    try:
      results['probabilities'] = refinement(example, results['probabilities'])
    except ValueError as error:
      raise ValueError(f'{name}: {error}') from error
    if options.temperature != 1:
      results['probabilities'] = np.asarray(
          temper(results['probabilities'], options.temperature)
      )
    results['unrefined'] = labels
    labels = decide(results['probabilities'], options.threshold)
    if not probabilities:
      del results['probabilities']
  return {'labels': labels, **results}


def _views(shown, size, shape, options, content):
  """Yields a `View` for each scale and, with `flip`, its mirror image."""
  sides = shown['image'].shape[:2]
  content = content or sides
  for scale in options.factors(content):
    scaled = shown
    if scale != 1:
      h, w = (max(1, int(n * scale + 0.5)) for n in sides)
      scaled = {
          name: _resize(array, (w, h), fields.kind(name))
          for name, array in shown.items()
      }
    seen = tuple(
        whole * part / side
        for whole, part, side in zip(
            scaled['image'].shape[:2], content, sides, strict=True
        )
    )
    yield View(scaled, size, shape, options, mirrored=False, content=seen)
    if options.flip:
      flipped = {
          name: (
              fields.mirrored(name, array[:, ::-1])
              if fields.is_spatial(name)
              else array
          )
          for name, array in scaled.items()
      }
      yield View(flipped, size, shape, options, mirrored=True, content=seen)


def _resize(array, size, kind):
  """Resizes a field to `size` (width, height) as its kind requires."""
  if not kind.spatial:
    return array
  method = cv2.INTER_LINEAR if kind.linear else cv2.INTER_NEAREST_EXACT
  stack = array.reshape(*array.shape[:2], -1)
  # OpenCV resizes a limited number of channels, and drops an axis of one.
  parts = [
      cv2.resize(
          np.ascontiguousarray(stack[..., i : i + 64]),
          size,
          interpolation=method,
      ).reshape(size[1], size[0], -1)
      for i in range(0, stack.shape[-1], 64)
  ]
  resized = np.concatenate(parts, -1)
  return resized.reshape(*resized.shape[:2], *array.shape[2:])
