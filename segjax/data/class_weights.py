"""Weights of the classes in a loss: given, or a rule for the pixels of each.

Rules take counts of pixels, [N, K + 1], as `statistics.class_counts` returns.
"""

from typing import Any

from absl import logging
import numpy as np

from segjax import specs
from segjax.data import statistics
from segjax.runtime import hosts


def compute(
    text: str, dataset: Any, *, on_bad_example: str = 'raise'
) -> np.ndarray | None:
  """Returns the weights of the classes of a data set, [K] float32, or None.

  Args:
    text: '' for no weights, numbers with commas between, or a rule:
      'median_frequency', 'inverse_log(offset=1.1)', or 'auto', which is
      'inverse_log'. The rules read every mask once.
    dataset: a `datasets.Dataset`, which is trained on.
    on_bad_example: 'raise' or 'skip', see `statistics.class_counts`.

  Raises:
    ValueError: the text is nothing of the kind, or gives no weight for each
      class, or the classes overlap.
  """
  if not text:
    return None
  label_map = dataset.label_map
  if label_map.overlapping:
    raise ValueError(
        f'config.class_weights={text!r} is for pixels of one class, and the'
        ' classes of the data set overlap: leave it empty, or give the loss'
        ' weights of its own, as in binary_cross_entropy(pos_weight=2.0).'
    )
  try:
    weights = np.array([float(word) for word in text.split(',')])
  except ValueError:
    weights = _by_rule(text, dataset, on_bad_example)
  good = np.isfinite(weights).all() and weights.min() >= 0 and weights.any()
  if len(weights) != label_map.num_classes or not good:
    raise ValueError(
        f'config.class_weights is {weights}; wanted are'
        f' {label_map.num_classes} numbers, none negative and not all 0.'
    )
  for name, weight in zip(label_map.names, weights, strict=True):
    logging.info('Class weight %8.3f  %s', weight, name)
  return weights.astype(np.float32)


def median_frequency(counts: np.ndarray) -> np.ndarray:
  """Computes class weights [K] by median frequency balancing.

  The weight is median / f, where f is the pixels of the class divided by the
  pixels of the images in which it occurs. A class that never occurs weighs 0.

  References:
    Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels,
    2015, https://arxiv.org/abs/1411.4734.
    Badrinarayanan et al., SegNet, 2015, https://arxiv.org/abs/1511.00561.
  """
  pixels = counts[:, :-1]
  occurs = pixels > 0
  of_images = (occurs * pixels.sum(1, keepdims=True)).sum(0)
  occurring = of_images > 0
  f = pixels.sum(0)[occurring] / of_images[occurring]
  weights = np.zeros(pixels.shape[1])
  weights[occurring] = np.median(f) / f if f.size else 1.0
  return weights


def inverse_log(counts: np.ndarray, *, offset: float = 1.02) -> np.ndarray:
  """Computes class weights [K] of 1 / ln(offset + f).

  The f of a class is its share of the pixels, see `statistics.frequencies`.

  References:
    Paszke et al., ENet, 2016, https://arxiv.org/abs/1606.02147; 1.02 keeps the
    weights between 1 and 50, and 1.1 keeps them below 11.
  """
  return 1 / np.log(offset + statistics.frequencies(counts))


RULES = {
    'auto': inverse_log,
    'inverse_log': inverse_log,
    'median_frequency': median_frequency,
}


def _by_rule(text, dataset, on_bad_example):
  """Returns the weights by a rule, whose counts one host makes for all."""
  name, options = specs.parse(
      text, RULES, 'rule for class weights', given=('counts',)
  )
  counts = hosts.from_first(
      lambda: statistics.class_counts(dataset, on_bad_example=on_bad_example)
  )
  return RULES[name](counts, **options)
