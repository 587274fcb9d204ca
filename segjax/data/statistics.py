"""How often the classes of a data set occur, and loss weights from that.

Counts are [N, K + 1], a row for each image: pixels of the classes 0 to K - 1,
then ignored pixels, which have no part in any frequency.
"""

import grain
import numpy as np

from segjax.data.image import BadExample


def pixel_counts(label, num_classes):
  """Returns the row of one image, [K + 1] int64.

  Args:
    label: [H, W], train ids; any other value is counted as ignored.
    num_classes: K.
  """
  ids = np.minimum(label, num_classes).ravel()
  return np.bincount(ids, minlength=num_classes + 1)


def class_counts(dataset, *, on_bad_example='raise'):
  """Reads all examples of a data set and returns its counts, [N, K + 1].

  Args:
    dataset: random access to {'label': [H, W]}, with a `label_map`.
    on_bad_example: 'raise', or 'skip' to leave unreadable examples at zero.
  """
  num_classes = dataset.label_map.num_classes

  def row(i):
    try:
      return pixel_counts(dataset[i]['label'], num_classes)
    except BadExample:
      if on_bad_example == 'raise':
        raise
      return np.zeros(num_classes + 1, np.int64)

  rows = grain.MapDataset.range(len(dataset)).map(row).to_iter_dataset()
  return np.stack(list(rows))


def frequencies(counts):
  """Returns the share of each class in the pixels that count, [K]."""
  pixels = counts[:, :-1].sum(0)
  return pixels / max(pixels.sum(), 1)


def median_frequency(counts):
  """Returns class weights [K] by median frequency balancing.

  The weight is median / f, where f is the pixels of the class divided by the
  pixels of the images in which it occurs. A class that never occurs weighs 0.

  References:
    Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels,
    2015, https://arxiv.org/abs/1411.4734.
    Badrinarayanan et al., SegNet, 2015, https://arxiv.org/abs/1511.00561.
  """
  pixels = counts[:, :-1]
  occurs = pixels > 0
  around = (occurs * pixels.sum(1, keepdims=True)).sum(0)
  seen = around > 0
  f = pixels.sum(0)[seen] / around[seen]
  weights = np.zeros(pixels.shape[1])
  weights[seen] = np.median(f) / f if f.size else 1.0
  return weights


def inverse_log(counts, *, offset=1.02):
  """Returns class weights [K] of 1 / ln(offset + f), f as in `frequencies`.

  References:
    Paszke et al., ENet, 2016, https://arxiv.org/abs/1606.02147; 1.02 keeps the
    weights between 1 and 50, and 1.1 keeps them below 11.
  """
  return 1 / np.log(offset + frequencies(counts))
