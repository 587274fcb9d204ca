r"""Fits the linear map of DUpsampling to patches of labels.

  python -m segjax.tools.dupsampling --output=runs/expand \
      --config=configs/dupsampling.py:dataset=voc2012
  python -m segjax.main --workdir=runs/voc \
      --config=configs/dupsampling.py:dataset=voc2012 \
      --config.init_from=runs/expand \
      --config.optim.factors="(('^expand/', 0.0),)"

The second command trains the network with the map as it is; without the factor
the map is trained further. Of all linear maps from a code to a patch of one-hot
labels the one that is written loses least, in the mean over a sample of
patches of the training split: its rows are singular vectors of the sample.
"""

import os
from typing import Any

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags
import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from segjax import experiment
from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.runtime import terminal


def sample(
    dataset: Any, factor: int, channels: int, count: int, seed: int = 0
) -> sparse.csr_array:
  """Returns one-hot patches at random places of random labels.

  Args:
    dataset: examples with 'label', [H, W]; ignored pixels count as class 0.
    factor: rows and columns of a patch.
    channels: number K of channels; 1 is that of the second of two classes.
    count: number N of patches, taken from at most so many images.
    seed: of the random numbers.

  Returns:
    A sparse matrix [N, factor * factor * K].

  Raises:
    ValueError: an image is smaller than a patch.
  """
  rng = np.random.default_rng(seed)
  images = rng.permutation(len(dataset))[:count]
  each = np.bincount(np.arange(count) % len(images))
  pixels = np.arange(factor**2)
  rows, columns, patch = [], [], 0
  for index, number in zip(images, each, strict=True):
    label = np.asarray(dataset[int(index)]['label'])
    if min(label.shape) < factor:
      raise ValueError(
          f'Image {index} is {label.shape[0]} x {label.shape[1]}, smaller than'
          f' a patch of {factor} x {factor}: leave it out of the split.'
      )
    for _ in range(number):
      y, x = (
          rng.integers(side - factor, endpoint=True) for side in label.shape
      )
      classes = label[y : y + factor, x : x + factor].ravel().astype(int)
      if channels == 1:
        hit, channel = classes == 1, 0
      else:
        hit = np.ones(len(classes), bool)
        channel = np.where(classes < channels, classes, 0)
      columns.append((pixels * channels + channel)[hit])
      rows.append(np.full(hit.sum(), patch))
      patch += 1
  rows, columns = np.concatenate(rows), np.concatenate(columns)
  ones = np.ones(len(rows), np.float32)
  return sparse.csr_array(
      (ones, (rows, columns)), shape=(count, factor**2 * channels)
  )


def fit(patches: sparse.csr_array, features: int) -> np.ndarray:
  """Returns the map from codes to patches that loses least.

  Args:
    patches: matrix [N, D].
    features: number F of channels of a code, less than N and D.

  Returns:
    [F, D], with orthogonal rows of length 1: its transpose encodes.
  """
  _, _, rows = linalg.svds(patches, features, random_state=0)
  return rows[::-1].astype(np.float32)


def error(patches: sparse.csr_array, rows: np.ndarray) -> float:
  """Returns the mean squared error of patches that a map encodes and decodes.

  Args:
    patches: matrix [N, D].
    rows: the map, [F, D].
  """
  # Encoding is orthogonal, so that what it loses is what codes lack in length.
  codes = patches @ rows.T
  lost = (patches**2).sum() - (codes**2).sum()
  return float(max(lost, 0.0) / np.prod(patches.shape))


def write(output: str | os.PathLike, rows: np.ndarray) -> None:
  """Writes a workdir for `config.init_from` with a map [F, D]."""
  workdir = Workdir(output)
  if workdir.checkpoints.exists():
    raise ValueError(
        f'{output} has checkpoints already: choose another --output.'
    )
  workdir.make()
  checkpoints = checkpoint.Checkpoints(workdir.checkpoints)
  params = {'expand': {'kernel': rows[None, None]}}
  checkpoints.save(0, {'params': params, 'mutable': {}})
  checkpoints.close()


def main(config, output, count):
  """Fits the map of a config and writes it."""
  with terminal.errors_in_words():
    dataset = experiment.train_dataset(config)
    model = experiment.system(config, dataset.label_map).model
    if not hasattr(model, 'code_features'):
      raise ValueError(
          f'{config.model_name} has no map from codes to patches: give'
          ' --config=configs/dupsampling.py.'
      )
    patches = sample(dataset, model.factor, model.num_classes, count)
    rows = fit(patches, model.code_features)
    write(output, rows)
    logging.info(
        '%d patches of %d x %d pixels: mean squared error %.5f with codes of'
        ' %d channels. Train with --config.init_from=%s.',
        *(count, model.factor, model.factor, error(patches, rows)),
        *(model.code_features, output),
    )


if __name__ == '__main__':
  _CONFIG = config_flags.DEFINE_config_file('config')
  _OUTPUT = flags.DEFINE_string('output', None, 'Folder to write.')
  _PATCHES = flags.DEFINE_integer('patches', 20_000, 'Number of patches.')
  flags.mark_flags_as_required(['config', 'output'])
  app.run(
      lambda _: main(_CONFIG.value, _OUTPUT.value, _PATCHES.value),
      flags_parser=terminal.parse_flags,
  )
