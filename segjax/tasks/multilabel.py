"""Multilabel segmentation: classes that overlap, so a pixel has any number.

Each class is a binary problem of its own: one channel of the logits and a
sigmoid. The `label` of a batch is [B, H, W, K], 1 where a pixel is of a class,
0 where it is not, and 255 where it is ignored; see `LabelMap.overlapping`.
Outputs of a system are those of the task 'semantic'. A pixel is of a class
where its probability is above `config.predict.threshold`.
"""

from collections.abc import Iterator

from etils import epath
import jax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts import pictures
from segjax.artifacts import polygons
from segjax.data import image as images
from segjax.data.label_map import LabelMap
from segjax.data.raw_ids import RawIds
from segjax.evaluation import collections
from segjax.evaluation import multilabel
from segjax.evaluation import semantic as semantic_scores
from segjax.runtime import atomic
from segjax.tasks import semantic

TRUTH = ('label',)
BEST = 'mIoU'
PER_PIXEL = True


def channels(label_map: LabelMap) -> int:
  """Returns the channels of the logits: one a class.

  Raises:
    ValueError: the classes of the data set do not overlap.
  """
  if not label_map.overlapping:
    raise ValueError(
        'The task multilabel is for classes that overlap, and each pixel of the'
        " data set has one class: set config.task to 'semantic', or write"
        ' "overlapping": true in dataset.json if masks hold a bit a class.'
    )
  return label_map.num_classes


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
    batch: what they are outputs for, with `label` [B, H, W, K].
    rng: not used.
    pixel: from `losses.build`. It is applied to each class as to a binary
      problem, and averaged over the classes.
    aux: see `semantic.loss`.
    aux_pixel: see `semantic.loss`.
  """

  def by_class(pixel):
    def one(logits, label):
      return pixel(logits[..., None], label)

    def loss(logits, label, pixel_weights=None):
      del pixel_weights  # They are made of labels with one class a pixel.
      values = jax.vmap(one, in_axes=(-1, -1))(logits, label)
      return jax.tree.map(jnp.mean, values)

    return loss

  return semantic.loss(
      out,
      batch,
      rng,
      pixel=by_class(pixel),
      aux=aux,
      aux_pixel=aux_pixel and by_class(aux_pixel),
  )


def predict(out, label_map: LabelMap | None = None) -> dict[str, jax.Array]:
  """Returns the logits of each class.

  Args:
    out: outputs of a system.
    label_map: not used.
  """
  del label_map
  return {'logits': out['logits'].astype(jnp.float32)}


class Scores:
  """Scores of overlapping classes, added up over images; see `semantic.Scores`.

  A prediction is a dict of arrays of one image: `labels` [H, W, K] uint8, 0 or
  1, and maybe `probabilities` [H, W, K].
  """

  summary = ''

  def __init__(self, label_map: LabelMap, absent: str):
    self.label_map, self._absent = label_map, absent
    self._counts = np.zeros((3, label_map.num_classes), np.int64)

  def add(self, example: dict, prediction: dict) -> None:
    """Counts the pixels of an image.

    Args:
      example: with the `label` [H, W, K].
      prediction: of the same size.
    """
    self._counts += multilabel.counts(prediction['labels'], example['label'])

  def gather(self) -> None:
    """Sums over processes, each of which saw a part of the split."""
    self._counts = collections.sum_over_processes(self._counts)

  def compute(self) -> dict[str, float]:
    """Returns all scores by name."""
    return multilabel.scores(self._counts, self.label_map.names, self._absent)

  def describe(self, scores: dict[str, float]) -> str:
    """Returns the lines in which scores are told."""
    names = self.label_map.names
    width = max(map(len, names))
    lines = [
        f'  {name:<{width}}  {scores[f"IoU/{name}"]:7.4f}'
        f'  {scores[f"precision/{name}"]:9.4f}  {scores[f"recall/{name}"]:6.4f}'
        for name in names
    ]
    return (
        f'mIoU {scores["mIoU"]:.4f}'
        f' ({semantic_scores.ABSENT[self._absent]}), IoU of all classes'
        f' together {scores["micro_IoU"]:.4f}, Dice {scores["dice"]:.4f}; IoU,'
        ' precision and recall per class:\n' + '\n'.join(lines)
    )

  def conventions(self) -> dict[str, str]:
    """Returns how the scores were counted, to be written beside them."""
    return {'absent classes': semantic_scores.ABSENT[self._absent]}

  def pictures(self) -> dict[str, np.ndarray]:
    """Returns pictures of the sums: none."""
    return {}

  def confusion(self) -> None:
    """Returns None: classes that overlap are not confused with each other."""

  def draw(self, example: dict, prediction: dict) -> np.ndarray:
    """Returns image, label and prediction side by side, [H, W, 3] uint8."""
    return pictures.beside(
        pictures.displayable(example['raw']),
        pictures.mixed(example['label'], self.label_map.colors),
        self.paint(example['raw'], prediction),
    )

  def paint(self, raw: np.ndarray, prediction: dict) -> np.ndarray:
    """Returns a prediction as a picture; see `semantic.Scores.paint`."""
    del raw
    return pictures.mixed(prediction['labels'], self.label_map.colors)

  def found(self, prediction: dict) -> list[tuple[int, str]]:
    """Returns the ids of the classes in a prediction, with how much of each."""
    shares = prediction['labels'].mean((0, 1))
    found = np.flatnonzero(shares)
    return [(int(i), semantic.percent(shares[i])) for i in found]

  def at(self, prediction: dict, y: int, x: int) -> list[tuple[int, float]]:
    """Returns classes at a pixel; see `semantic.Scores.at`.

    Without probabilities these are all that the pixel is of.
    """
    if 'probabilities' not in prediction:
      ids = np.flatnonzero(prediction['labels'][y, x])
      return [(int(i), float('nan')) for i in ids]
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
    for k in range(self.label_map.num_classes):
      yield polygons.Segment(k, prediction['labels'][..., k] > 0)

  def use_raw_ids(self, raw_ids: RawIds) -> None:
    """Raises ValueError: a pixel may have several."""
    raise ValueError(
        'The classes overlap, and their masks hold a bit for each class: leave'
        ' --raw_ids out.'
    )

  def files(
      self, name: str, *, probabilities: bool = False, variance: bool = False
  ) -> list[str]:
    """Returns the names of the files that `write` makes of an image.

    Args:
      name: of the image.
      probabilities: whether these are written.
      variance: not used; sampled variances are for classes that exclude each
        other.
    """
    del variance
    names = [*self._masks(name), f'{name}_overlay.png']
    return [*names, f'{name}.npz'] if probabilities else names

  def _masks(self, name):
    """Returns the names of the files that hold the classes of an image."""
    bits = 16 if self.label_map.num_classes > 8 else 8
    if self.label_map.num_classes <= bits:
      return [f'{name}.png']
    return [f'{name}_{k}.png' for k in range(self.label_map.num_classes)]

  def write(
      self,
      folder: epath.Path,
      example: dict,
      prediction: dict,
      *,
      probabilities: bool = False,
  ) -> None:
    """Writes the prediction of an image as files.

    Bit k of the values of NAME.png tells class k; with more than 16 classes,
    NAME_k.png is 255 where a pixel is of class k. NAME_overlay.png shows the
    mean of the colours of a pixel's classes over the image.

    Args:
      folder: to write to.
      example: with the image as it was read, `raw`, and the `name`.
      prediction: see `Scores`.
      probabilities: whether to write NAME.npz, [H, W, K] float16, too.
    """
    name, labels = example['name'], prediction['labels']
    files = self._masks(name)
    if len(files) > 1:
      for k, file in enumerate(files):
        images.write_png(folder / file, labels[..., k] * np.uint8(255))
    else:
      images.write_png(folder / files[0], multilabel.as_bits(labels))
    images.write_png(
        folder / f'{name}_overlay.png',
        pictures.mixed_overlay(example['raw'], labels, self.label_map),
    )
    if probabilities:
      with atomic.replacing(folder / f'{name}.npz') as file:
        np.savez_compressed(
            file, probabilities=prediction['probabilities'].astype(np.float16)
        )

  def finish(self, folder: epath.Path) -> None:
    """Writes what is about all images together: nothing, of masks."""


def scores(label_map: LabelMap, *, absent: str = 'skip') -> Scores:
  """Returns empty scores; see `semantic.scores`."""
  semantic_scores.check_absent(absent)
  return Scores(label_map, absent)
