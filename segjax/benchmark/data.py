"""The input pipeline alone, on files of an image and a mask."""

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

SIZE = (1024, 2048)  # Of the images that are written, Cityscapes'.
PAIRS = 8
NOISE = 8.0  # Standard deviation, so that files are as long as of photographs.
SPEC = 'random_scale(0.5, 2.0)|random_crop{}|flip|photometric|normalize'


def write_pairs(root, suffix, size=SIZE, pairs=PAIRS):
  """Writes a data set of scenes of shapes, for segjax/data/datasets/folder.py.

  Args:
    root: folder to write to.
    suffix: of the images, '.jpg' or '.png'; masks are PNG.
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
  """Returns the wall and CPU seconds of batches, a list of pairs.

  Args:
    root: of the data set; its split 'train' is read.
    size: (height, width) of the crops.
    batch: images of a batch.
    threads: that read.
    seconds: to spend, over all repeats; a batch at least is read for each.
    repeats: number of times that are taken, of equally many batches.
  """
  found = datasets.load('folder', 'train', str(root))
  batches = pipeline.train_batches(
      found, SPEC.format(size), batch_size=batch, seed=0, threads=threads
  )
  try:
    for _ in range(2):  # What was read ahead costs no time.
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
  """Returns rows of the user's folder, or of JPEG and of PNG files."""
  if options.folder:
    return [_row(options, options.folder, options.folder)]
  found = []
  for suffix in ('.jpg', '.png'):
    with tempfile.TemporaryDirectory() as root:
      write_pairs(root, suffix)
      found.append(_row(options, root, f'segjax, {suffix[1:]}'))
  return found


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
