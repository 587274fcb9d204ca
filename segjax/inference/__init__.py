"""From images to label maps: whole or sliding window, scales and mirrors.

An image is seen in views, scaled and mirrored, and each view through windows of
one shape; a whole image is the case of one window. Windows of several images
share a batch. Views give their logits a band of rows at a time, from the top
down, and a band becomes labels before the next is computed: but for the image
and its labels, memory does not grow with the height. A CRF, though, sees the
probabilities of the whole image.

Labels do not depend on the batch size: a window is padded by its own size
alone, and what fills up a batch is thrown away.

A network that loses a halo sees that much more than a window on each side:
the image where there is one and its mirror image beyond (the overlap-tile
strategy of U-Net, https://arxiv.org/abs/1505.04597, figure 2).

The grid of windows and the average over views are those of mmsegmentation
1.2.2.
"""

import dataclasses
import functools
import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from segjax.refine import crf

MODES = ('whole', 'slide')
WEIGHTS = ('flat', 'hann')


@dataclasses.dataclass(frozen=True)
class Inference:
  """How labels are predicted; the fields of `config.predict`, and `halo`."""

  mode: str = 'whole'
  window: tuple[int, int] = (512, 512)  # Height and width; for 'slide'.
  stride: tuple[int, int] = (341, 341)
  weights: str = 'flat'  # Of the pixels of a window: all equal, or a bell.
  scales: tuple[float, ...] = (1.0,)
  flip: bool = False  # Averages with the mirror image.
  # Of two classes, the second is where it is more probable than this.
  threshold: float = 0.5
  crf: str = (
      ''  # Call of segjax/refine/crf.py, on the average over views; '' is none.
  )
  batch_size: int = 1  # Windows at a time.
  pad_to: int = 1  # Sizes grow to a multiple of this: fewer compilations.
  halo: int = 0  # Of the model: pixels that it loses on each side.

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
    if not 0 < self.threshold < 1:
      raise ValueError(f'threshold={self.threshold} must be between 0 and 1.')
    crf.build(self.crf)  # Raises if it cannot be read.
    for name in ('batch_size', 'pad_to'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)} must be at least 1.')


def predict(forward, examples, options, probabilities=False, extra=0):
  """Predicts the labels of a stream of images.

  Args:
    forward: images [B, h, w, C] float32 -> logits [B, h, w, K], less the halo
      on each side, where B is `options.batch_size`. It may be compiled for each
      shape it is given. Regions are further channels of the images.
    examples: iterable of dictionaries with the normalised `image` [h, w, C],
      and with the `label` or the `size` (height, width) to predict for; maybe
      with `regions` [h, w, N]. A CRF wants the `raw` image of that size too,
      [H, W, 3] of uint8.
    options: an `Inference`.
    probabilities: whether to return those too: K float32 for each pixel.
    extra: channels of `forward` behind the logits. They are averaged over
      windows and views as they are, and follow the probabilities.

  Yields:
    (example, labels [H, W] uint8, probabilities [H, W, K] float32 or None), in
    the order in which images are finished. A few are under way at a time.
  """
  examples, size = iter(examples), options.batch_size
  tasks = 0
  queues = {}  # By shape, the (task, window) that wait for a batch.

  def enqueue(task, windows):
    for window in windows:
      queues.setdefault(window.shape, []).append((task, window))

  while True:
    # Twice the images of a batch, because their shapes may be mixed.
    while tasks < 2 * size and all(len(q) < size for q in queues.values()):
      if (example := next(examples, None)) is None:
        break
      task = _Task(example, options, probabilities, extra)
      enqueue(task, task.start())
      tasks += 1
    if not queues:
      return

    # A full batch, or the oldest part of one when nothing else can go on.
    shape = next((s for s, q in queues.items() if len(q) >= size), None)
    shape = shape or next(iter(queues))
    queue = queues.pop(shape)
    batch, rest = queue[:size], queue[size:]
    if rest:
      queues[shape] = rest
    shown = [window for _, window in batch]
    logits = _run(forward, shown, size, options.halo)
    for i, (task, _) in enumerate(batch):
      enqueue(task, task.give(logits[i]))
      if task.result:
        tasks -= 1
        yield task.example, *task.result


def _run(forward, windows, size, halo):
  """Logits [size, h, w, K] of at most `size` windows with their halos."""
  images = np.zeros((size, *windows[0].shape), np.float32)
  images[: len(windows)] = windows
  logits = forward(images)
  height, width = (side - 2 * halo for side in images.shape[1:3])
  if logits.ndim != 4 or logits.shape[:3] != (size, height, width):
    raise ValueError(
        f'forward turned images {images.shape} into logits {logits.shape}: a'
        ' model returns a vector of logits for each pixel of its input, less'
        f' {halo} on each side, the halo of these options.'
    )
  # One device does the rest, whichever it was that computed an image.
  return jax.device_put(logits, jax.local_devices()[0])


class _Task:
  """An image under way: it wants logits of windows until it has a result."""

  def __init__(self, example, *how):
    self.example, self.result = example, None
    self._steps = _segment(example, *how)

  def start(self):
    """Returns the first windows."""
    return self._resume(None)

  def give(self, logits):
    """Takes the logits of the next window; returns windows wanted now."""
    self._logits.append(logits)
    complete = len(self._logits) == self._wanted
    return self._resume(self._logits) if complete else []

  def _resume(self, logits):
    try:
      windows = self._steps.send(logits)
    except StopIteration as end:
      self.result = end.value
      return []
    self._logits, self._wanted = [], len(windows)
    return windows


def _segment(example, options, probabilities, extra):
  """Yields windows to get their logits; returns labels and probabilities."""
  size = example['label'].shape if 'label' in example else example['size']
  height, width = size
  # The result is made in chunks of rows, computed in arrays of one shape.
  chunk = height
  if options.mode == 'slide':
    chunk = min(height, options.window[0])
  shape = _round_up((chunk, width), options.pad_to)
  starts = grid(height, chunk, chunk)
  image = example['image']
  if 'regions' in example:
    image = np.concatenate([image, example['regions']], -1, dtype=np.float32)
  views = _views(image, size, shape, options)
  if len(starts) > 1:
    views = list(views)  # Else only one is alive at a time.
  weight = 1 / (len(options.scales) * (1 + options.flip))
  refine = crf.build(options.crf)

  labels, soft = np.empty(size, np.uint8), None
  for start in starts:
    total = 0.0
    for view in views:
      logits, rows, columns = yield from view.band(start)
      total = _accumulate(total, weight, logits, rows, columns, extra)
    ids, broken = _decide(total, options.threshold, extra)
    if broken:
      raise ValueError(
          f'The logits of {example.get("name", "an image")!r} are not finite:'
          ' the parameters or the image contain NaN or infinity.'
      )
    labels[start : start + chunk] = np.asarray(ids)[:chunk, :width]
    if probabilities or refine:
      if soft is None:
        soft = np.empty((*size, total.shape[-1]), np.float32)
      soft[start : start + chunk] = np.asarray(total)[:chunk, :width]
  if refine:
    soft, more = np.split(soft, [soft.shape[-1] - extra], -1)
    try:
      soft = refine(soft, example['raw'])
    except ValueError as error:
      raise ValueError(f'{example.get("name", "An image")}: {error}') from error
    labels = decide(soft, options.threshold)
    soft = np.concatenate([soft, more], -1)
  return labels, soft if probabilities else None


def _views(image, size, shape, options):
  """Yields the scaled and mirrored views of an image [h, w, C]."""
  for scale in options.scales:
    scaled = image
    if scale != 1:
      h, w = (max(1, int(n * scale + 0.5)) for n in image.shape[:2])
      parts = np.split(image, range(64, image.shape[-1], 64), -1)
      parts = [cv2.resize(np.ascontiguousarray(p), (w, h)) for p in parts]
      # OpenCV takes some 100 channels at most, and drops a single one.
      scaled = np.concatenate([p.reshape(h, w, -1) for p in parts], -1)
    yield _View(scaled, size, shape, options, mirrored=False)
    if options.flip:
      yield _View(scaled[:, ::-1], size, shape, options, mirrored=True)


class _View:
  """Gives the logits of an image [h, w, C], a band of rows at a time."""

  def __init__(self, image, size, shape, options, mirrored):
    h, w = image.shape[:2]
    window, stride = options.window, options.stride
    if options.mode == 'whole':
      window = stride = _round_up((h, w), options.pad_to)
    self.image, self.window, self.halo = image, window, options.halo
    self.ys = windows(h, window[0], stride[0], options.weights)
    self.xs = windows(w, window[1], stride[1], options.weights)
    self.rows = functools.partial(taps, count=shape[0], old=h, new=size[0])
    self.columns = taps(0, shape[1], w, size[1], mirrored)

    # A band begins at the first row that a chunk of the result needs, and goes
    # to the end of the last window that begins before the next chunk does.
    self.step = math.ceil(h / size[0])
    depth = math.ceil(shape[0] * h / size[0]) + self.step + window[0]
    self.shape = _round_up(
        (min(depth, max(h, window[0])), max(w, window[1])), options.pad_to
    )
    self.logits, self.top = None, 0

  def band(self, start):
    """Yields windows to get their logits; returns a band and taps into it."""
    low, fraction = self.rows(start)
    if start:
      self.logits = _scroll(self.logits, low[0] - self.top)
      self.top = low[0]
    while self.ys and self.ys[0][0] <= low[-1] + self.step:
      y, share = self.ys.pop(0)
      row = yield [self._crop(y, x) for x, _ in self.xs]
      if row[0].shape[:2] == self.shape:
        self.logits = row[0]  # One window is all there is.
        break
      if self.logits is None:
        self.logits = jnp.zeros((*self.shape, row[0].shape[-1]), jnp.float32)
      for logits, (x, other) in zip(row, self.xs, strict=True):
        self.logits = _add(self.logits, logits, share, other, y - self.top, x)
    return self.logits, (low - self.top, fraction), self.columns

  def _crop(self, y, x):
    """The window at (y, x); beyond the image 0, or its mirror image."""
    h, w = self.window
    if self.halo:
      rows, columns = (
          reflect(start - self.halo, start + size + self.halo, length)
          for start, size, length in zip(
              (y, x), self.window, self.image.shape[:2], strict=True
          )
      )
      return self.image[rows[:, None], columns]
    crop = self.image[y : y + h, x : x + w]
    missing = (0, h - crop.shape[0]), (0, w - crop.shape[1]), (0, 0)
    return np.pad(crop, missing) if crop.shape[:2] != (h, w) else crop


def grid(length, window, stride):
  """Where windows start along an axis; the last is moved back inside."""
  count = max(length - window + stride - 1, 0) // stride + 1
  return [max(min(i * stride, length - window), 0) for i in range(count)]


def windows(length, window, stride, weights='flat'):
  """Windows along an axis: [(start, what it adds to its pixels [window])].

  What windows add to a pixel sums to 1: they share it equally, or those in the
  middle of which it lies get more.
  """
  weight = np.ones(window)
  if weights == 'hann':  # Without its zeros: the border has one window alone.
    weight = np.sin(np.pi * (np.arange(window) + 0.5) / window) ** 2
  starts = grid(length, window, stride)
  total = np.zeros(max(length, window))
  for start in starts:
    total[start : start + window] += weight
  return [(s, np.float32(weight / total[s : s + window])) for s in starts]


def reflect(start, stop, length):
  """Where pixels start, start + 1, ... lie on an axis mirrored at both ends."""
  last = length - 1
  index = np.arange(start, stop) % max(2 * last, 1)
  return np.minimum(index, 2 * last - index)


def taps(start, count, old, new, mirrored=False):
  """Where pixels of a resized axis lie: after `low`, by a `fraction` of 1.

  These are the pixels start, start + 1, ... of `ops.resize` from `old` to `new`
  pixels; any beyond repeat the last.
  """
  position = (np.arange(start, start + count) + 0.5) * old / new - 0.5
  position = np.clip(position, 0, old - 1)
  if mirrored:
    position = old - 1 - position
  low = position.astype(np.int32)
  return low, np.float32(position - low)


def _round_up(size, unit):
  return tuple(-(-n // unit) * unit for n in size)


@functools.partial(jax.jit, donate_argnums=0)
def _add(band, logits, rows, columns, y, x):
  """Adds the weighted logits [h, w, K] of a window to a band."""
  logits = logits.astype(band.dtype) * rows[:, None, None] * columns[:, None]
  seen = jax.lax.dynamic_slice(band, (y, x, 0), logits.shape)
  return jax.lax.dynamic_update_slice(band, seen + logits, (y, x, 0))


@jax.jit
def _scroll(band, rows):
  """Drops the first rows of a band; zeros follow at its end."""
  index = jnp.arange(len(band)) + rows
  return jnp.take(band, index, axis=0, mode='fill', fill_value=0)


@functools.partial(jax.jit, static_argnames='extra')
def _accumulate(total, weight, band, rows, columns, extra):
  """Adds the weighted softmax of a band, resized by the taps of both axes."""
  (y, dy), (x, dx) = rows, columns
  dy, dx = dy[:, None, None], dx[:, None]
  below = jnp.minimum(y + 1, len(band) - 1)
  logits = band[y] * (1 - dy) + band[below] * dy
  right = jnp.minimum(x + 1, band.shape[1] - 1)
  logits = logits[:, x] * (1 - dx) + logits[:, right] * dx
  classes = logits.shape[-1] - extra
  soft = jax.nn.softmax(logits[..., :classes])
  return total + weight * jnp.concatenate([soft, logits[..., classes:]], -1)


def decide(probabilities, threshold):
  """Returns the most probable class, uint8; see `Inference.threshold`."""
  return np.asarray(_decide(probabilities, threshold, 0)[0])


@functools.partial(jax.jit, static_argnames='extra')
def _decide(total, threshold, extra):
  """The most probable class, uint8, and whether anything is NaN."""
  total = total[..., : total.shape[-1] - extra]
  if total.shape[-1] == 2:  # With a threshold of 0.5, this is argmax too.
    total *= jnp.stack([threshold, 1 - threshold])
  return jnp.argmax(total, -1).astype(jnp.uint8), jnp.isnan(total).any()
