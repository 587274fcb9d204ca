"""Benchmark of the input pipeline against the same recipe in plain OpenCV.

  python -m segjax.benchmark.opencv --pairs=FOLDER

The recipe is that of mmsegmentation for Cityscapes: read, scale, crop, flip,
distort, normalize. With OpenCV each op works on the whole array, as in
mmsegmentation. The pipeline of segjax is measured twice: on files, and on
decoded examples in memory, where `config.decoded_gb` keeps them after the first
epoch. All run on one thread, with the same random draws, and take turns example
by example. CPU time is measured, so a busy machine changes the ratios little.

FOLDER has pairs of an image and a mask of the same name in KIND/images and
KIND/masks, for any number of KINDs. If it does not exist, it is written: 12
generated scenes of 1024 x 2048 as `jpg` (quality 95) and as `png`, with PNG
masks.
"""

import collections
import time

from absl import app
from absl import flags
import cv2
from etils import epath
import numpy as np

from segjax.data import cache
from segjax.data import label_map
from segjax.data import transforms
from segjax.data.datasets import files

SIZE = 1024, 2048
CROP = 512, 1024
CLASSES = 19
SPEC = f'random_scale(0.5, 2.0)|random_crop{CROP}|flip|photometric|normalize'
IGNORE = 255

_PAIRS = flags.DEFINE_string(
    'pairs', None, 'Folder with the pairs of images and masks.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'Number of passes over the pairs.')


def read(image_path, mask_path):
  """Reads an image, BGR [H, W, 3], and its label [H, W]."""
  image = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
  return image, cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)


def scale(image, label, rng):
  """Resizes image and label by a random factor from 0.5 to 2."""
  factor = rng.uniform(0.5, 2.0)
  size = [int(side * factor + 0.5) for side in label.shape[::-1]]
  image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
  return image, cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)


def crop(image, label, rng):
  """Crops at random, up to 10 times again while a class has 75 % of pixels."""

  def draw():
    corner = rng.integers(np.maximum(np.subtract(label.shape, CROP), 0) + 1)
    return tuple(slice(c, c + n) for c, n in zip(corner, CROP, strict=True))

  window = draw()
  for _ in range(10):
    classes, counts = np.unique(label[window], return_counts=True)
    counts = counts[classes != IGNORE]
    if len(counts) > 1 and counts.max() < 0.75 * counts.sum():
      break
    window = draw()
  return image[window], label[window]


def flip(image, label, rng):
  """Mirrors image and label with probability 0.5."""
  if rng.random() < 0.5:
    image, label = cv2.flip(image, 1), cv2.flip(label, 1)
  return image, label


def photometric(image, label, rng):
  """Changes brightness, contrast, saturation and hue, each with chance 0.5."""

  def linear(array, alpha=1.0, beta=0.0):
    array = array.astype(np.float32) * alpha + beta
    return np.clip(array, 0, 255).astype(np.uint8)

  def contrast(image):
    return linear(image, alpha=rng.uniform(0.5, 1.5))

  def saturation(image):
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 1] = linear(hsv[..., 1], alpha=rng.uniform(0.5, 1.5))
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)

  def hue(image):
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + rng.integers(-18, 18)) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)

  contrast_last = rng.integers(2)
  if rng.integers(2):
    image = linear(image, beta=rng.uniform(-32, 32))
  steps = [saturation, hue]
  steps.insert(2 * contrast_last, contrast)
  for step in steps:
    if rng.integers(2):
      image = step(image)
  return image, label


def normalize(image, label, rng):
  """Normalises the image to RGB float32 and pads image and label."""
  del rng
  image = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2RGB)
  mean, std = (123.675, 116.28, 103.53, 0), (58.395, 57.12, 57.375, 1)
  image = cv2.subtract(image, mean)
  image = cv2.multiply(image, np.divide(1, std))
  height, width = np.subtract(CROP, label.shape)
  border = 0, int(height), 0, int(width), cv2.BORDER_CONSTANT
  return (
      cv2.copyMakeBorder(image, *border, value=0),
      cv2.copyMakeBorder(label, *border, value=IGNORE),
  )


def example(image_path, mask_path, rng, clock=None):
  """Prepares a training example by OpenCV: float32 [H, W, 3], uint8 [H, W].

  Args:
    image_path: an 8-bit colour image.
    mask_path: its mask of train ids.
    rng: a NumPy generator.
    clock: a `Clock` that measures each op, or None.
  """
  clock = clock or Clock()
  arrays = clock.of('read', read, image_path, mask_path)
  for op in (scale, crop, flip, photometric, normalize):
    arrays = clock.of(op.__name__, op, *arrays, rng)
  return arrays


def dataset(folder):
  """Returns the pairs of a folder as a data set."""
  labels = label_map.parse(
      {'classes': [{'name': str(i)} for i in range(CLASSES)], 'ignore': [255]},
      'benchmark',
  )
  pairs = files.pair(folder / 'images', folder / 'masks')
  return files.Files('train', pairs, labels, channels=3)


def our_ops():
  """Returns the ops of the recipe in the pipeline of segjax."""
  return (*transforms.fuse(transforms.parse(SPEC)), transforms.Pad(*CROP))


def our_example(examples, index, ops, rng, clock=None):
  """Prepares an example of a data set by segjax; see `example`."""
  clock = clock or Clock()
  features = clock.of('read', lambda: examples[index])
  for op in ops:
    name = type(op).__name__
    features = clock.of(name, transforms.apply, (op,), features, rng)
  return features['image'], features['label']


class Clock:
  """Adds up the CPU seconds of functions by name."""

  def __init__(self):
    self.seconds = collections.Counter()

  def of(self, name, function, *args):
    """Returns `function(*args)` and adds its time to `name`."""
    start = time.process_time()
    result = function(*args)
    self.seconds[name] += time.process_time() - start
    return result

  def report(self, name, count):
    """Prints images/s and the time of each op; returns the images/s."""
    total = sum(self.seconds.values())
    shares = ', '.join(
        f'{name} {seconds / count * 1e3:.1f}'
        for name, seconds in self.seconds.items()
    )
    print(f'{name:6} {count / total:6.2f} images/s a core; ms: {shares}')
    return count / total


def compare(folder, rounds):
  """Measures OpenCV and segjax on the pairs of one folder; prints the rates."""
  from_files = dataset(folder)
  in_memory = cache.Cached(from_files, 1.0)
  pairs, ops = from_files.examples, our_ops()
  clocks = Clock(), Clock(), Clock()
  for turn in range(-1, rounds):
    for i, pair in enumerate(pairs):
      rngs = [np.random.default_rng((turn + 1, i)) for _ in clocks]
      used = clocks if turn >= 0 else [None] * 3  # The first turn warms up.
      example(pair.image, pair.mask, rngs[0], used[0])
      our_example(from_files, i, ops, rngs[1], used[1])
      our_example(in_memory, i, ops, rngs[2], used[2])
  count = rounds * len(pairs)
  print(f'\n{folder.name}: {len(pairs)} pairs, {rounds} times')
  rates = [
      clock.report(name, count)
      for name, clock in zip(('OpenCV', 'files', 'memory'), clocks, strict=True)
  ]
  print(
      f'From files {rates[1] / rates[0]:.2f} and from memory'
      f' {rates[2] / rates[0]:.2f} times as many images as OpenCV op by op.'
  )


def make_pairs(folder, count=12):
  """Writes scenes with the detail and noise of photographs, and their masks."""
  write_options = {'jpg': (cv2.IMWRITE_JPEG_QUALITY, 95), 'png': ()}
  for suffix in write_options:
    for part in ('images', 'masks'):
      (folder / suffix / part).mkdir(parents=True)
  for i in range(count):
    image, label = scene(np.random.default_rng(i))
    for suffix, options in write_options.items():
      parent = folder / suffix
      cv2.imwrite(str(parent / 'images' / f'{i}.{suffix}'), image, options)
      cv2.imwrite(str(parent / 'masks' / f'{i}.png'), label)


def scene(rng):
  """Generates an image [H, W, 3] and its label [H, W], uint8."""

  def noise(side, channels):
    """Returns noise that is smooth over `side` pixels."""
    small = rng.normal(size=(*(n // side for n in SIZE), channels))
    small = small.astype(np.float32)
    return cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC)

  label = noise(128, CLASSES).argmax(-1).astype(np.uint8)
  label[noise(64, 1) > 1.5] = IGNORE
  colors = rng.uniform(40, 200, (256, 3)).astype(np.float32)
  image = colors[label] + 1.5 * rng.normal(size=(*SIZE, 3))
  for side in (4, 16, 64, 256):
    image += 2 * np.log2(side) * noise(side, 1)[..., None]
  return np.uint8(np.clip(image, 0, 255)), label


def main(argv):
  """Writes the pairs if the folder does not exist, and compares."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  cv2.setNumThreads(1)
  folder = epath.Path(_PAIRS.value)
  if not folder.exists():
    make_pairs(folder)
  for pairs in sorted(folder.iterdir()):
    compare(pairs, _ROUNDS.value)


if __name__ == '__main__':
  flags.mark_flag_as_required('pairs')
  app.run(main)
