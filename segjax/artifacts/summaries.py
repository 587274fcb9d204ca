"""Writes scalars and pictures of a run: TensorBoard events and JSON lines."""

from collections.abc import Mapping
import functools
import json
import os
import time

import numpy as np

from segjax.artifacts.workdir import Workdir


def read(workdir: Workdir) -> dict[str, dict[int, float | None]]:
  """Returns what `metrics.jsonl` of a workdir holds, {name: {step: value}}.

  A value that was not finite is None. Without the file there is nothing.
  """
  curves = {}
  if not workdir.metrics.exists():
    return curves
  for line in workdir.metrics.read_text().splitlines():
    try:
      values = json.loads(line)
    except ValueError:  # A run is writing it, or was killed while it did.
      continue
    step = values.pop('step')
    del values['time']
    for name, value in values.items():
      curves.setdefault(name, {})[step] = value
  return {name: dict(sorted(values.items())) for name, values in curves.items()}


class Writer:
  """Writes TensorBoard events and `metrics.jsonl`.

  CLU's writer imports TensorFlow, which takes seconds and which training does
  not need otherwise. So the writer is created when something is written first.
  """

  def __init__(self, workdir: Workdir):
    self._folder = workdir.path / 'tensorboard'
    self._lines = JsonLinesWriter(workdir.metrics)

  @functools.cached_property
  def _events(self):
    """The writer of TensorBoard events, created at the first use."""
    from clu import metric_writers

    return metric_writers.create_default_writer(str(self._folder))

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Writes scalars {name: value} of a step."""
    self._events.write_scalars(step, scalars)
    self._lines.write_scalars(step, scalars)

  def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Writes images {name: [B, H, W, C]} of a step to TensorBoard."""
    self._events.write_images(step, images)

  def flush(self) -> None:
    """Writes what is buffered to the files."""
    self._events.flush()
    self._lines.flush()

  def close(self) -> None:
    """Writes what is buffered, and closes the files."""
    if '_events' in vars(self):  # Only if something was written.
      self._events.close()
    self._lines.close()


class JsonLinesWriter:
  """Appends a line for each step to a file: {"step", "time", name: value, ...}.

  A resumed run writes the steps after its last checkpoint a second time; for a
  step and a name, the last line is valid. Files in a bucket cannot be appended
  to, so `flush` writes all lines.
  """

  def __init__(self, path):
    self._path = path
    self._in_bucket = '://' in str(path)
    self._text = ''
    if path.exists() and self._in_bucket:
      self._text = path.read_text()
    elif path.exists():  # A kill or a full disk can leave half a line.
      os.truncate(path, path.read_bytes().rfind(b'\n') + 1)

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Appends the line of a step; a value that is not finite becomes null."""
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

  def flush(self) -> None:
    """Writes all lines, if the file is in a bucket."""
    if self._text:
      self._path.write_text(self._text)

  close = flush

  def write_images(self, step: int, images: Mapping[str, np.ndarray]) -> None:
    """Does nothing: only scalars are written as lines."""
