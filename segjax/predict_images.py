"""Predicts images as a whole and writes their files."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import json

from absl import logging
from etils import epath
import numpy as np

from segjax.artifacts import polygons as polygon_files
from segjax.data import image as images
from segjax.data import label_map
from segjax.data import proposals as proposal_files
from segjax.data import raw_ids as raw_id_files
from segjax.data.datasets.folder import LABELS
from segjax.data.label_map import IGNORE
from segjax.ensemble import Ensemble
from segjax.exported import ExportedPredictor
from segjax.predictor import Predictor
from segjax.runtime import atomic


class Writer:
  """Predicts images as a whole and writes what `segjax.predict.write` names.

  Attributes:
    about: what the files depend on beside the images.
    summaries: writers that have a `summary` of all images in a file, or '' for
      none.
  """

  def __init__(
      self,
      predictor: Predictor | Ensemble | ExportedPredictor,
      sources: Mapping[str, epath.Path],
      *,
      probabilities: bool = False,
      proposals: str = '',
      min_confidence: float = 0.0,
      raw_ids: bool = False,
      polygons: str = '',
  ):
    """Checks that the options fit the model and each other.

    Args:
      predictor: what predicts.
      sources: paths of the images by name.
      probabilities: see `segjax.predict.write`, as for the others.
      proposals: folder of region proposals.
      min_confidence: the lowest probability of a label that is written.
      raw_ids: whether to write raw ids, too.
      polygons: format of polygons to write, too.

    Raises:
      ValueError: they do not.
    """
    if min_confidence:
      _check_confidence(predictor, raw_ids)
    self._predictor, self._sources = predictor, sources
    self._probabilities, self._proposals = probabilities, proposals
    self._min_confidence, self._sure = min_confidence, []
    self._results = predictor.task.scores(predictor.label_map)
    self.about, raw = predictor.describe(), None
    if min_confidence:
      self.about['min_confidence'] = min_confidence
    if raw_ids:
      raw = _raw_ids(predictor)
      self._results.use_raw_ids(raw)
      self.about['raw_ids'] = True
    self._outlines, self.summaries = None, [self._results]
    if polygons:
      self._outlines = polygon_files.writer(
          polygons, self._results.label_map, sources, raw
      )
      self.about['polygons'] = polygons
      self.summaries.append(self._outlines)

  def files(self, name: str) -> list[str]:
    """Returns the names of the files that are written of an image."""
    files = self._results.files(
        name,
        probabilities=self._probabilities,
        variance=self._predictor.samples,
    )
    return [*files, *(self._outlines.files(name) if self._outlines else ())]

  def begin(self, folder: epath.Path) -> None:
    """Writes what is there before the first image: names of pseudo-labels.

    Raises:
      ValueError: the folder has others.
    """
    if not self._min_confidence:
      return
    path = folder / LABELS
    classes = label_map.content(self._predictor.label_map)
    if path.exists() and json.loads(path.read_text()) != classes:
      raise ValueError(
          f'{path} exists already, and names other classes: choose another'
          ' --output.'
      )
    atomic.write_json(path, classes)

  def write(
      self,
      folder: epath.Path,
      names: list[str],
      fail: Callable[[dict, Exception], None],
  ) -> Iterator[None]:
    """Predicts images and writes their files; yields once for each.

    Args:
      folder: to write to.
      names: of the images.
      fail: called with the example and the reason where an image cannot be
        predicted; it does not end the others.

    Raises:
      OSError: the folder cannot be written to.
    """
    for example, prediction in self._predictor.stream(
        self._read(names, fail),
        self._probabilities or self._min_confidence > 0,
        on_error=fail,
    ):
      yield
      try:
        self._write_one(folder, example, prediction)
      except OSError:  # Of the folder, not of the image.
        raise
      except Exception as error:
        fail(example, error)

  def _read(self, names, fail):
    """Yields examples of the images that can be read."""
    for name in names:
      example, path = {'name': name}, self._sources[name]
      try:
        example['image'] = images.read_image(
            path, upright=True, channels=self._predictor.channels
        )
        if self._min_confidence:
          _check_upright(path)
        if self._proposals:
          example['proposals'] = proposal_files.read(
              epath.Path(self._proposals) / f'{name}.npz',
              example['image'].shape[:2],
              self._predictor.num_proposals,
          )
      except Exception as error:  # One bad file is no reason to end.
        fail(example, error)
      else:
        yield example

  def _write_one(self, folder, example, prediction):
    if self._min_confidence:
      prediction, share = _ignore_unsure(prediction, self._min_confidence)
      self._sure.append(share)
    self._results.write(
        folder, example, prediction, probabilities=self._probabilities
    )
    if self._outlines:
      self._outlines.write(
          folder,
          example['name'],
          example['raw'].shape[:2],
          self._results.segments(example, prediction),
      )

  def finish(self, folder: epath.Path) -> None:
    """Writes the files of all images together, and says what was ignored."""
    for writer in self.summaries:
      writer.finish(folder)
    if self._sure:
      logging.info(
          '%.1f %% of the pixels have a class, with a probability of %g at'
          ' least; the others are %d, ignored.',
          100 * np.mean(self._sure),
          self._min_confidence,
          IGNORE,
      )


def _check_confidence(predictor, raw_ids):
  """Raises ValueError unless unsure pixels can be ignored."""
  if not predictor.task.PER_PIXEL or predictor.label_map.overlapping:
    raise ValueError(
        '--min_confidence is for tasks that predict probabilities of one class'
        ' a pixel, semantic and binary: leave it out.'
    )
  if raw_ids:
    raise ValueError(
        '--raw_ids does not go with --min_confidence, whose masks are to be'
        ' trained on: write them in calls of their own.'
    )


def _check_upright(path):
  """Raises ValueError if EXIF turns an image, which training does not do."""
  if (orientation := images.read_orientation(path)) != 1:
    raise ValueError(
        f'{path} is shown turned, by EXIF orientation {orientation}, and'
        ' training would read it as it is stored, unlike its mask: write the'
        ' image upright, without EXIF.'
    )


def _ignore_unsure(prediction, min_confidence):
  """Sets labels to `IGNORE` where their probability is lower.

  Args:
    prediction: `labels` [H, W] and `probabilities` [H, W, K].
    min_confidence: the lowest probability of a label that stays.

  Returns:
    The prediction, and the share of pixels that stay.
  """
  labels, probabilities = prediction['labels'], prediction['probabilities']
  confidence = np.take_along_axis(probabilities, labels[..., None], -1)[..., 0]
  sure = confidence >= min_confidence
  return prediction | {'labels': np.where(sure, labels, IGNORE)}, sure.mean()


def _raw_ids(predictor):
  """Returns how predictions are written in raw ids."""
  if isinstance(predictor, ExportedPredictor):
    raise ValueError(
        'An exported model does not tell the raw ids of its classes: predict'
        ' with --workdir, or leave --raw_ids out.'
    )
  return raw_id_files.find(predictor.label_map, predictor.dataset)
