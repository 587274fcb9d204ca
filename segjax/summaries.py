"""Where numbers and pictures of a run go: CLU's writers, and JSON lines."""

import json
import os
import time

from clu import metric_writers
import numpy as np


class JsonLinesWriter(metric_writers.MetricWriter):
  """Appends a line a step to a file: {"step", "time", name: value, ...}.

  Lines are appended only. A run that was interrupted writes again the steps
  after its last checkpoint; the last line with a step and a name counts.
  """

  def __init__(self, path):
    self._path = path
    if path.exists():  # A kill or a full disk may have left half a line.
      os.truncate(path, path.read_bytes().rfind(b'\n') + 1)

  def write_scalars(self, step, scalars):
    line = {'step': step, 'time': round(time.time(), 3)} | {
        # JSON has no NaN.
        name: float(value) if np.isfinite(value) else None
        for name, value in scalars.items()
    }
    try:
      with open(self._path, 'a') as file:
        file.write(json.dumps(line) + '\n')
    except OSError as error:
      raise OSError(f'{self._path} cannot be written: {error}.') from error

  def _ignore(self, *args, **kwargs):
    """Only scalars become lines; those are flushed at once."""

  write_summaries = write_images = write_videos = write_audios = _ignore
  write_texts = write_histograms = write_hparams = flush = close = _ignore


def writer(workdir):
  """Returns the writer of a run: TensorBoard events and `metrics.jsonl`."""
  # CLU's writer imports TensorFlow, which nothing else of a run needs.
  tensorboard = metric_writers.create_default_writer(
      str(workdir.path / 'tensorboard')
  )
  return metric_writers.MultiWriter(
      [tensorboard, JsonLinesWriter(workdir.metrics)]
  )
