"""CLU metrics: scores of a data split, and means of the scalars of train steps.

Scores are computed on the host from int64 counts of pixels, since JAX would
cast these to int32. The scalars of train steps stay on the device until
`compute`, so that no step waits for the one before.
"""

import functools

from clu import metrics
import flax
import jax
from jax.experimental import multihost_utils
import numpy as np

from segjax.evaluation import boundary
from segjax.evaluation import partitions
from segjax.evaluation import semantic as semantic_scores

# Scalars whose names begin so report their last value instead of the mean.
LAST = 'learning_rate'


@functools.cache
def semantic(
    names: tuple[str, ...],
    absent: str = 'skip',
    boundary_class: int | None = None,
) -> type[metrics.Collection]:
  """Returns a CLU collection class that scores label maps.

      scores = collections.semantic(label_map.names)
      total = scores.empty()
      for prediction, label in ...:  # [H, W] uint8, ids or 255 for ignored.
        total = total.merge(
            scores.single_from_model_output(prediction=prediction, label=label)
        )
      total.gather().compute()  # {'mIoU': 0.71, ..., 'IoU/road': 0.95}

  Args:
    names: tuple of the names of the classes, in the order of their ids.
    absent: how means treat classes that do not occur, a key of
      `evaluation.semantic.ABSENT`.
    boundary_class: the class between the regions of a data set whose partitions
      are scored, too (see `evaluation.partitions`), or None. Images without a
      region are left out of these scores.
  """
  num_classes = len(names)

  @flax.struct.dataclass
  class Confusion(_Counts):
    """Confusion matrix [K, K]: rows are the truth, columns the prediction."""

    @classmethod
    def empty(cls):
      return cls(np.zeros((num_classes, num_classes), np.int64))

    @classmethod
    def from_model_output(cls, *, prediction, label, **_):
      return cls(semantic_scores.confusion(prediction, label, num_classes))

  @flax.struct.dataclass
  class Bands(_Counts):
    """Pixels in the bands along the outlines, [3, K]; see `band_counts`."""

    @classmethod
    def empty(cls):
      return cls(np.zeros((3, num_classes), np.int64))

    @classmethod
    def from_model_output(cls, *, prediction, label, **_):
      return cls(boundary.band_counts(prediction, label, num_classes))

  @flax.struct.dataclass
  class Accuracies(_Counts):
    """Sum of the mean boundary accuracies, and number of images, [2]."""

    @classmethod
    def empty(cls):
      return cls(np.zeros(2))

    @classmethod
    def from_model_output(cls, *, prediction, label, **_):
      value = boundary.boundary_accuracy(prediction, label)
      if np.isnan(value):
        return cls.empty()
      # Such fractions add up exactly, in whatever order images are seen.
      return cls(np.array([np.rint(value * 2**36) / 2**36, 1.0]))

  @flax.struct.dataclass
  class Partitions(_Counts):
    """Sums of the three scores of partitions, and number of images, [4]."""

    @classmethod
    def empty(cls):
      return cls(np.zeros(4))

    @classmethod
    def from_model_output(cls, *, prediction, label, **_):
      if boundary_class is None:
        return cls.empty()
      values = partitions.scores(prediction, label, boundary_class)
      return (
          cls.empty() if np.isnan(values).all() else cls(np.append(values, 1))
      )

  @flax.struct.dataclass
  class Semantic(metrics.Collection):
    """Scores of label maps; `compute` returns {name: float}."""

    confusion: Confusion
    bands: Bands
    accuracies: Accuracies
    partitions: Partitions

    def gather(self):
      """Sums over the processes, each of which saw a part of the split."""
      return self.replace(
          confusion=self.confusion.gather(),
          bands=self.bands.gather(),
          accuracies=self.accuracies.gather(),
          partitions=self.partitions.gather(),
      )

    def compute(self):
      result = semantic_scores.scores(self.confusion.counts, absent)
      per_class = {
          'IoU': result.pop('class_IoU'),
          'recall': result.pop('class_accuracy'),
          'precision': result.pop('class_precision'),
          'dice': result.pop('class_dice'),
      }
      _, truth, predicted = self.bands.counts
      result['boundary_IoU'] = semantic_scores.mean(
          semantic_scores.iou(*self.bands.counts), truth, predicted, absent
      )
      accuracy, images = self.accuracies.counts
      result['mBA'] = accuracy / (images or np.nan)
      if boundary_class is not None:
        *sums, images = self.partitions.counts
        means = np.array(sums) / (images or np.nan)
        result |= zip(partitions.NAMES, means, strict=True)
        result['rand_error'] = 1 - result['V_rand']
      for name, value in zip(names, per_class['IoU'], strict=True):
        result[f'IoU/{name}'] = value
      # Of binary tasks papers also report scores of the object, class 1.
      if num_classes == 2:
        for score in ('recall', 'precision', 'dice'):
          result[f'{score}/{names[1]}'] = per_class[score][1]
      return {name: float(value) for name, value in result.items()}

  return Semantic


@functools.cache
def train(names: tuple[str, ...]) -> type[metrics.Collection]:
  """Returns a CLU collection class for the scalars that train steps return.

      reports = collections.train(tuple(scalars))
      report = reports.empty()
      report = report.merge(reports.single_from_model_output(**scalars))
      report.compute()  # {'loss': 0.31, 'learning_rate': 0.007}

  Args:
    names: names of the scalars, any strings. `compute` returns their means over
      the steps, or the last value if the name begins with `LAST`.
  """
  # A collection's fields are arguments of its constructor, which a loss named
  # 'class' or 'loss/aux' cannot be.
  fields = {f'scalar_{i}': name for i, name in enumerate(names)}
  scalars = metrics.Collection.create(
      **{
          field: _scalar(_Last if name.startswith(LAST) else _Mean, name)
          for field, name in fields.items()
      }
  )

  def compute(self):
    values = metrics.Collection.compute(self)
    return {fields[field]: value for field, value in values.items()}

  scalars.compute = compute
  return scalars


def sum_over_processes(counts):
  """Returns the sum over processes of a NumPy array, int64 or float64."""
  if jax.process_count() == 1:
    return counts
  # As pairs of uint32: JAX has no 64 bits by default and would cut them off.
  halves = np.ascontiguousarray(counts).view(np.uint32)
  gathered = np.asarray(multihost_utils.process_allgather(halves))
  return np.ascontiguousarray(gathered).view(counts.dtype).sum(0)


def rows_of_processes(rows: np.ndarray) -> np.ndarray:
  """Returns the rows of all processes, one after the other.

  Args:
    rows: [n, C], int64 or float64, where each process has a number n of its
      own.
  """
  if jax.process_count() == 1:
    return rows
  mine = jax.process_index()
  lengths = np.zeros(jax.process_count(), np.int64)
  lengths[mine] = len(rows)
  lengths = sum_over_processes(lengths)
  table = np.zeros((len(lengths), lengths.max(), rows.shape[1]), rows.dtype)
  table[mine, : len(rows)] = rows
  table = sum_over_processes(table)
  return np.concatenate(
      [part[:length] for part, length in zip(table, lengths, strict=True)]
  )


@flax.struct.dataclass
class _Counts(metrics.Metric):
  """Numbers that add up, int64 or float64 on the host."""

  counts: np.ndarray

  def merge(self, other):
    return type(self)(self.counts + other.counts)

  def gather(self):
    """Sums over processes; a no-op for one."""
    return type(self)(sum_over_processes(self.counts))


@flax.struct.dataclass
class _Mean(metrics.Metric):
  """Mean of a scalar over steps, fetched from the device by `compute`."""

  values: tuple

  @classmethod
  def empty(cls):
    return cls(())

  def merge(self, other):
    return type(self)(self.values + other.values)

  def compute(self):
    values = np.array(jax.device_get(self.values), np.float64)
    # Steps that were skipped report NaN.
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float('nan')


class _Last(_Mean):
  """Value of a scalar at the last step."""

  def merge(self, other):
    return other if other.values else self


def _scalar(metric, name):
  """Derives a metric class that reads the output `name` of a train step."""

  @flax.struct.dataclass
  class Scalar(metric):
    """Metric of one scalar of a train step."""

    @classmethod
    def from_model_output(cls, **scalars):
      return cls((scalars[name],))

  return Scalar
