"""Semantic segmentation: a class for every pixel.

Outputs of a system: `logits` [B, H, W, K] at the size of the input, and `aux`,
{name: logits of an auxiliary head}, of the same size or of a coarser grid. One
that samples may return the `variance` of probabilities [B, H, W, K], too. A
batch has `image` [B, H, W, C] and `label` [B, H, W], class ids or 255 for
ignored pixels; it may have `weight` [B, H, W], what each pixel counts.
"""

from collections.abc import Iterator

from etils import epath
import jax
import numpy as np

from segjax.artifacts import diagrams
from segjax.artifacts import pictures
from segjax.artifacts import polygons
from segjax.data import image as images
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.evaluation import collections
from segjax.evaluation import semantic
from segjax.ops.targets import class_logits
from segjax.ops.targets import shrink_label
from segjax.runtime import atomic

TRUTH = ('label', 'weight')
BEST = 'mIoU'
PER_PIXEL = True


def channels(label_map: LabelMap) -> int:
  """Returns the channels of the logits: one a class.

  Raises:
    ValueError: there is nothing to tell apart, or classes overlap.
  """
  check_exclusive(label_map)
  if label_map.num_classes < 2:
    raise ValueError(
        f'The data set has {label_map.num_classes} class; at least 2 are'
        ' needed.'
    )
  return label_map.num_classes


def check_exclusive(label_map: LabelMap) -> None:
  """Raises ValueError if a pixel may be of several classes."""
  if label_map.overlapping:
    raise ValueError(
        'The classes of the data set overlap, and this task is for pixels of'
        " one class: set config.task to 'multilabel'."
    )


def loss(
    out,
    batch,
    rng,
    *,
    pixel,
    aux: float | dict[str, float] = 0.0,
    aux_pixel=None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the loss to minimise and its parts, scalars by name.

  Args:
    out: outputs of a system.
    batch: what they are outputs for.
    rng: not used.
    pixel: from `losses.build`.
    aux: factor of the loss of each auxiliary head, or {name: factor}. A head on
      a coarser grid is compared with the label at the middle of its cells.
    aux_pixel: loss of auxiliary heads, from `losses.build`; None: `pixel`.
  """
  del rng
  label, weight = batch['label'], batch.get('weight')
  total, parts = pixel(out['logits'], label, weight)
  parts = dict(parts)
  for name, logits in out['aux'].items():
    factor = _factor(aux, name)
    size = logits.shape[1:3]
    coarse = size != label.shape[1:3]
    if coarse and weight is not None:
      raise ValueError(
          f'The auxiliary head {name} is on a grid of {size}, and weights are'
          f' of pixels, {label.shape[1:3]}: leave border_weights out.'
      )
    shrunk = shrink_label(label, size) if coarse else label
    value, _ = (aux_pixel or pixel)(logits, shrunk, weight)
    parts[f'aux_{name}'] = value
    total = total + factor * value
  return total, parts


def _factor(aux, name):
  if not isinstance(aux, dict):
    return aux
  if name not in aux:
    raise ValueError(
        f'config.aux_weight has no factor of the auxiliary head {name!r}, only'
        f' of {", ".join(aux) or "none"}.'
    )
  return aux[name]


def predict(out, label_map: LabelMap | None = None) -> dict[str, jax.Array]:
  """Returns the logits of each class, and the variance if there is one.

  Args:
    out: outputs of a system.
    label_map: not used.
  """
  del label_map
  predicted = {'logits': class_logits(out['logits'])}
  if 'variance' in out:
    predicted['variance'] = out['variance']
  return predicted


class Scores:
  """Scores of label maps, added up over images, and how they are shown.

  A prediction is a dict of arrays of one image: `labels` [H, W] uint8, and
  maybe `probabilities` and `variance` [H, W, K].

  Attributes:
    summary: name of the file that `finish` writes of all images, or ''. A task
      that writes one has a method `resume`, which reads it again.
  """

  summary = ''

  def __init__(self, label_map: LabelMap, absent: str):
    self.label_map, self._absent = label_map, absent
    self._raw_ids = None
    self._total = collections.semantic(
        label_map.names, absent, label_map.boundary_class
    ).empty()

  def add(self, example: dict, prediction: dict) -> None:
    """Counts the pixels of an image.

    Args:
      example: with the `label` [H, W].
      prediction: of the same size.
    """
    now = type(self._total).single_from_model_output(
        prediction=prediction['labels'], label=example['label']
    )
    self._total = self._total.merge(now)

  def gather(self) -> None:
    """Sums over processes, each of which saw a part of the split."""
    self._total = self._total.gather()

  def compute(self) -> dict[str, float]:
    """Returns all scores by name."""
    return self._total.compute()

  def describe(self, scores: dict[str, float]) -> str:
    """Returns the lines in which scores are told."""
    per_class = {k[4:]: v for k, v in scores.items() if k.startswith('IoU/')}
    width = max(map(len, per_class))
    partitions = ''
    if 'V_rand' in scores:
      partitions = (
          f', Rand error {scores["rand_error"]:.4f} (V_rand'
          f' {scores["V_rand"]:.4f}), V_info {scores["V_info"]:.4f}, pixel'
          f' error {scores["pixel_error"]:.4f}'
      )
    lines = [
        f'  {name:<{width}}  {iou:7.4f}' for name, iou in per_class.items()
    ]
    return (
        f'mIoU {scores["mIoU"]:.4f} ({semantic.ABSENT[self._absent]}), boundary'
        f' IoU {scores["boundary_IoU"]:.4f}, mBA {scores["mBA"]:.4f}, mean'
        f' accuracy {scores["mean_accuracy"]:.4f}, accuracy'
        f' {scores["accuracy"]:.4f},'
        f' frequency-weighted IoU {scores["fwIoU"]:.4f}, Dice'
        f' {scores["dice"]:.4f}{partitions}; IoU per class:\n'
        + '\n'.join(lines)
    )

  def conventions(self) -> dict[str, str]:
    """Returns how the scores were counted, to be written beside them."""
    return {'absent classes': semantic.ABSENT[self._absent]}

  def pictures(self) -> dict[str, np.ndarray]:
    """Returns pictures of the sums: the confusion matrix."""
    counts = self._total.confusion.counts
    return {'confusion': diagrams.confusion(counts, self.label_map.names)}

  def confusion(self) -> np.ndarray | None:
    """Returns the confusion matrix of the sums, [K, K], rows are the truth.

    A task without one returns None.
    """
    return self._total.confusion.counts

  def draw(self, example: dict, prediction: dict) -> np.ndarray:
    """Returns image, label and prediction side by side, [H, W, 3] uint8."""
    return pictures.panel(
        example['raw'], example['label'], prediction['labels'], self.label_map
    )

  def draw_refined(self, example: dict, prediction: dict) -> np.ndarray:
    """Returns a prediction before and after its refinement, and the label.

    Args:
      example: with the `label` [H, W].
      prediction: with the labels before, `unrefined`, too.

    Returns:
      Three pictures side by side, [H, W, 3] uint8.
    """
    labels = prediction['unrefined'], prediction['labels'], example['label']
    return pictures.beside(
        *(pictures.colorize(x, self.label_map.colors) for x in labels)
    )

  def paint(self, raw: np.ndarray, prediction: dict) -> np.ndarray:
    """Returns a prediction as a picture of its own, [H, W, 3] uint8.

    Args:
      raw: the image as it was read, [H, W, C].
      prediction: see `Scores`.
    """
    del raw
    return pictures.colorize(prediction['labels'], self.label_map.colors)

  def found(self, prediction: dict) -> list[tuple[int, str]]:
    """Returns the ids of the classes in a prediction, with how much of each."""
    labels = prediction['labels']
    ids, counts = np.unique(labels, return_counts=True)
    return [
        (int(i), percent(count / labels.size))
        for i, count in zip(ids, counts, strict=True)
    ]

  def at(self, prediction: dict, y: int, x: int) -> list[tuple[int, float]]:
    """Returns classes at a pixel with their probabilities, the best first.

    Without probabilities it is the predicted class alone, with NaN.
    """
    if 'probabilities' not in prediction:
      return [(int(prediction['labels'][y, x]), float('nan'))]
    values = prediction['probabilities'][y, x]
    return [(int(i), float(values[i])) for i in np.argsort(-values)]

  def segments(
      self, example: dict, prediction: dict
  ) -> Iterator[polygons.Segment]:
    """Yields the pixels of each class in an image.

    Args:
      example: not used.
      prediction: see `Scores`.
    """
    del example
    return polygons.of_labels(prediction['labels'])

  def use_raw_ids(self, raw_ids: RawIds) -> None:
    """Lets `write` make a mask in the raw ids of the data set, too."""
    self._raw_ids = raw_ids

  def files(
      self, name: str, *, probabilities: bool = False, variance: bool = False
  ) -> list[str]:
    """Returns the names of the files that `write` makes of an image.

    Args:
      name: of the image.
      probabilities: whether these are written.
      variance: whether the system samples.
    """
    stems = [name, f'{name}_uncertainty'] if variance else [name]
    names = [*(f'{stem}.png' for stem in stems), f'{name}_overlay.png']
    if probabilities:
      names += [f'{stem}.npz' for stem in stems]
    if self._raw_ids:
      names.append(self._raw_ids.mask(name))
    return names

  def write(
      self,
      folder: epath.Path,
      example: dict,
      prediction: dict,
      *,
      probabilities: bool = False,
  ) -> None:
    """Writes the prediction of an image as files.

    NAME.png holds class ids, with the classes' colours as palette, and
    NAME_overlay.png shows them over the image. Of a system that samples,
    NAME_uncertainty.png is brighter where the samples differ more.

    Args:
      folder: to write to.
      example: with the image as it was read, `raw`, and the `name`.
      prediction: see `Scores`.
      probabilities: whether to write NAME.npz, [H, W, K] float16, too and, of a
        system that samples, NAME_uncertainty.npz with the variance.
    """
    name, labels = example['name'], prediction['labels']
    images.write_png(
        folder / f'{name}.png', labels, palette=self.label_map.colors
    )
    images.write_png(
        folder / f'{name}_overlay.png',
        pictures.overlay(example['raw'], labels, self.label_map),
    )
    if self._raw_ids:
      self._raw_ids.write(folder, name, labels)
    if probabilities:
      _write_npz(
          folder / f'{name}.npz', probabilities=prediction['probabilities']
      )
    if 'variance' in prediction:
      variance = prediction['variance']
      stem = f'{name}_uncertainty'
      images.write_png(folder / f'{stem}.png', pictures.uncertainty(variance))
      if probabilities:
        _write_npz(folder / f'{stem}.npz', variance=variance)

  def finish(self, folder: epath.Path) -> None:
    """Writes what is about all images together: nothing, of label maps."""


def percent(share: float) -> str:
  """Returns a positive share in words, never '0.0%'."""
  return f'{share:.1%}' if share >= 0.0005 else 'below 0.1%'


def _write_npz(path, **arrays):
  arrays = {name: x.astype(np.float16) for name, x in arrays.items()}
  with atomic.replacing(path) as file:
    np.savez_compressed(file, **arrays)


def scores(label_map: LabelMap, *, absent: str = 'skip') -> Scores:
  """Returns empty scores.

  Args:
    label_map: classes of the data set.
    absent: what a mean does with classes that do not occur, a key of
      `evaluation.semantic.ABSENT`.

  Raises:
    ValueError: there is no such convention.
  """
  semantic.check_absent(absent)
  return Scores(label_map, absent)
