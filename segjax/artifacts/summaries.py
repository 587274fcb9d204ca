"""Where numbers and pictures of a run go: CLU's writers, and JSON lines."""

import functools
import json
import os
import time

import numpy as np


class Writer:
  """Writes TensorBoard events and `metrics.jsonl`.

  CLU's writer imports TensorFlow, which takes seconds and nothing else of a run
  needs: that waits until there is something to write.
  """

  def __init__(self, workdir):
    self._folder = workdir.path / 'tensorboard'
    self._lines = JsonLinesWriter(workdir.metrics)

  @functools.cached_property
  def _events(self):
    from clu import metric_writers

    return metric_writers.create_default_writer(str(self._folder))

  def write_scalars(self, step, scalars):
    self._events.write_scalars(step, scalars)
    self._lines.write_scalars(step, scalars)

  def write_images(self, step, images):
    self._events.write_images(step, images)

  def flush(self):
    self._events.flush()
    self._lines.flush()

  def close(self):
    if '_events' in vars(self):  # Else nothing was written.
      self._events.close()
    self._lines.close()


class JsonLinesWriter:
  """Appends a line a step to a file: {"step", "time", name: value, ...}.

  Lines are appended only. A run that was interrupted writes again the steps
  after its last checkpoint; the last line with a step and a name counts. In a
  bucket, where nothing can be appended, `flush` writes all of them.
  """

  def __init__(self, path):
    self._path = path
    self._in_bucket = '://' in str(path)
    self._text = ''
    if path.exists() and self._in_bucket:
      self._text = path.read_text()
    elif path.exists():  # A kill or a full disk may have left half a line.
      os.truncate(path, path.read_bytes().rfind(b'\n') + 1)

  def write_scalars(self, step, scalars):
    line = {'step': step, 'time': round(time.time(), 3)} | {
        # JSON has no NaN.
        name: float(value) if np.isfinite(value) else None
        for name, value in scalars.items()
    }
    if self._in_bucket:
      self._text += json.dumps(line) + '\n'
      return
    try:
      with open(self._path, 'a') as file:
        file.write(json.dumps(line) + '\n')
    except OSError as error:
      raise OSError(f'{self._path} cannot be written: {error}.') from error

  def flush(self):
    if self._text:
      self._path.write_text(self._text)

  close = flush

  def write_images(self, step, images):
    """Only scalars become lines."""
