"""Benchmark of the input pipeline alone, on files of images and masks."""

import itertools
import json
import pathlib
import tempfile
import time

import cv2
import numpy as np

from segjax.benchmark import report
from segjax.data import datasets
from segjax.data import image
from segjax.data import label_map
from segjax.data import pipeline

# Size of the generated images, that of Cityscapes.
SIZE = (1024, 2048)
PAIRS = 8
# Standard deviation of noise that makes files as large as those of photographs.
NOISE = 8.0
SPEC = 'random_scale(0.5, 2.0)|random_crop{}|flip|photometric|normalize'


def write_pairs(root, suffix, size=SIZE, pairs=PAIRS):
  """Writes a data set of generated scenes for segjax/data/datasets/folder.py.

  Args:
    root: folder to write to.
    suffix: suffix of the images, '.jpg' or '.png'; masks are PNG.
    size: (height, width) of the images.
    pairs: number of images.
  """
  root = pathlib.Path(root)
  scenes = datasets.load('shapes', 'train', size=size, length=pairs)
  labels = scenes.label_map
  classes = [
      {'name': name, 'color': color, 'ids': [i]}
      for i, (name, color) in enumerate(
          zip(labels.names, labels.colors, strict=True)
      )
  ]
  content = {'classes': classes, 'ignore': [label_map.IGNORE]}
  rng = np.random.default_rng(0)
  for folder in ('images', 'masks'):
    (root / 'train' / folder).mkdir(parents=True)
  (root / 'dataset.json').write_text(json.dumps(content))
  for i in range(pairs):
    scene = scenes[i]
    pixels = scene['image'] + rng.normal(0, NOISE, scene['image'].shape)
    pixels = pixels.clip(0, 255).astype(np.uint8)
    file = root / 'train' / 'images' / f'{i}{suffix}'
    cv2.imwrite(str(file), np.ascontiguousarray(pixels[..., ::-1]))
    image.write_png(root / 'train' / 'masks' / f'{i}.png', scene['label'])


def measure(root, *, size, batch, threads, seconds, repeats):
  """Measures the time of batches.

  Args:
    root: folder of the data set, of which the split 'train' is read.
    size: (height, width) of the crops.
    batch: images per batch.
    threads: number of reading threads.
    seconds: time to spend over all repeats; each reads at least one batch.
    repeats: number of measurements, each of the same number of batches.

  Returns:
    [(wall seconds, CPU seconds), ...] of a batch, for each repeat.
  """
  dataset = datasets.load('folder', 'train', str(root))
  batches = pipeline.train_batches(
      dataset, SPEC.format(size), batch_size=batch, seed=0, threads=threads
  )
  try:
    # The first batches were read ahead, so they are not timed.
    for _ in range(2):
      next(batches)
    start = time.perf_counter()
    next(batches)
    once = time.perf_counter() - start
    count = max(1, round(seconds / repeats / once))
    return [_time(batches, count) for _ in range(repeats)]
  finally:
    batches.close()


def _time(batches, count):
  start, cpu = time.perf_counter(), time.process_time()
  for _ in itertools.islice(batches, count):
    pass
  wall = time.perf_counter() - start
  return wall / count, (time.process_time() - cpu) / count


def rows(options):
  """Returns the rows of the user's folder, or of generated JPEG and PNG."""
  if options.folder:
    return [_row(options, options.folder, options.folder)]
  measured = []
  for suffix in ('.jpg', '.png'):
    with tempfile.TemporaryDirectory() as root:
      write_pairs(root, suffix)
      measured.append(_row(options, root, f'segjax, {suffix[1:]}'))
  return measured


def _row(options, root, who):
  times = measure(
      root,
      size=options.size,
      batch=options.batch,
      threads=options.threads,
      seconds=options.seconds,
      repeats=options.repeats,
  )
  wall, cpu = zip(*times, strict=True)
  facts = {'images_per_cpu_second': options.batch * len(cpu) / sum(cpu)}
  return report.row('', 'data', who, list(wall), options.batch, facts)
