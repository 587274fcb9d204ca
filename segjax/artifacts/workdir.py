"""The folder of a run: paths of its files, its config, and its lock."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import importlib.metadata
import json
import math
import os
import platform
from typing import Any

from absl import logging
from etils import epath
import filelock
from flax import traverse_util
import ml_collections
import numpy as np

from segjax.artifacts import upgrade
from segjax.data import image
from segjax.data.label_map import LabelMap
from segjax.data.values import Values
from segjax.runtime import atomic

# Fields that may change when a run resumes: they do not affect its results.
FREE = (
    *('data_dir', 'threads', 'loader_timeout', 'decoded_gb', 'profile'),
    *('parallel', 'mesh', 'shard_state', 'remat'),
)
PACKAGES = (
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'orbax-checkpoint',
    'grain',
    'numpy',
    'opencv-python-headless',
    'clu',
    'ml-collections',
)


class Workdir:
  """The folder of a run and the paths in it."""

  def __init__(self, path: epath.PathLike):
    self.path = epath.Path(path)
    self.config = self.path / 'config.json'
    self.labels = self.path / 'labels.json'
    self.versions = self.path / 'versions.json'
    self.checkpoints = self.path / 'checkpoints'
    self.pictures = self.path / 'pictures'
    self.metrics = self.path / 'metrics.jsonl'
    self.starts = self.path / 'starts.jsonl'
    self.bad_steps = self.path / 'bad_steps.jsonl'
    self.calibration = self.path / 'calibration.json'

  def make(self) -> None:
    """Makes the folder.

    Raises:
      OSError: it cannot be written.
      ValueError: its name is one that some library cannot write to.
    """
    name = str(self.path)
    if '://' in name and set(name) & set('[]*?'):
      raise ValueError(
          f'The workdir {name} is in a bucket, where []*? are patterns: choose'
          ' another --workdir without these characters.'
      )
    try:
      name.encode()
    except UnicodeEncodeError as error:
      raise ValueError(
          f'The name of the workdir, {name!r}, is no UTF-8: choose another'
          ' --workdir.'
      ) from error
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      atomic.write_json(self.path / '.writable', {})
      (self.path / '.writable').unlink()
    except OSError as error:
      raise OSError(
          f'The workdir {self.path} cannot be written: {error}. Choose another'
          ' with --workdir, or free its disk.'
      ) from error

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Locks the folder against a second run while the context lasts."""
    if '://' in str(self.path):  # Object stores have no locks.
      yield
      return
    # A file of its own: Windows lets nobody read one that is locked.
    holder = self.path / '.lock-holder'
    lock = filelock.FileLock(self.path / '.lock', blocking=False)
    try:
      held = lock.acquire()
    except filelock.Timeout as error:
      name = holder.read_text() if holder.exists() else 'unknown'
      raise ValueError(
          f'Another run ({name}) works in {self.path}. Wait for it, stop it, or'
          ' choose another --workdir.'
      ) from error
    with held:
      holder.write_text(f'process {os.getpid()} on {platform.node()}')
      yield

  def claim(self, config) -> None:
    """Writes the config to the folder, or checks it against the one there.

    The folder belongs to a config from the first checkpoint on. Files of a run
    without a checkpoint are overwritten.

    Raises:
      ValueError: the folder belongs to another config; the message lists the
        fields that differ.
    """
    if not self._has_checkpoints():
      atomic.write_json(self.config, config.to_dict())
      atomic.write_json(self.versions, versions())
      self.metrics.unlink(missing_ok=True)
      self.bad_steps.unlink(missing_ok=True)
      self.calibration.unlink(missing_ok=True)
      return
    self.check(config)
    before = json.loads(self.versions.read_text())
    for name, now in versions().items():
      if before.get(name) != now:
        logging.warning(
            '%s is %s now; this run began with %s.',
            name,
            now,
            before.get(name),
        )

  def _has_checkpoints(self):
    there = self.checkpoints.exists()
    return there and any(p.name.isdigit() for p in self.checkpoints.iterdir())

  def check(self, config, part: str = '') -> None:
    """Raises ValueError if fields whose names begin with `part` differ."""
    differing = [
        line
        for line in differences(self.read_config(), config)
        if line.startswith(part)
    ]
    if differing:
      raise ValueError(
          f'{self.path} is the workdir of another config. Choose another'
          ' --workdir, or go back to its config; these differ:\n  '
          + '\n  '.join(differing)
      )

  def write_labels(
      self, label_map: LabelMap, channels: int, values: Values | None = None
  ) -> None:
    """Writes what prediction needs to know of the data set.

    Args:
      label_map: the classes.
      channels: number of channels of the images.
      values: type and range of the images, if they are known.
    """
    atomic.write_json(
        self.labels,
        {
            'names': label_map.names,
            'colors': label_map.colors,
            'channels': channels,
            'boundary_class': label_map.boundary_class,
            'values': dataclasses.asdict(values) if values else None,
            'things': label_map.things,
            'overlapping': label_map.overlapping,
            'ids': list(label_map.ids.items()),
            'color_coded': label_map.color_coded,
        },
    )

  def read_labels(self) -> tuple[LabelMap, int]:
    """Returns the label map of the run and the channels of its images."""
    labels = json.loads(self.labels.read_text())
    label_map = LabelMap(
        names=tuple(labels['names']),
        colors=tuple(map(tuple, labels['colors'])),
        # A run of an older version does not tell these.
        ids=dict(labels.get('ids', ())),
        color_coded=labels.get('color_coded', False),
        overlapping=labels.get('overlapping', False),
        boundary_class=labels.get('boundary_class'),
        things=tuple(labels.get('things', ())),
    )
    return label_map, labels['channels']

  def read_values(self) -> Values | None:
    """Returns type and range of the images that the run was trained on.

    Images of another kind are refused by `Values.check`. None if they are not
    known, as of runs of an older version and of converted weights.
    """
    values = json.loads(self.labels.read_text()).get('values')
    if values is None:
      return None
    return Values(tuple(values['dtypes']), values['low'], values['high'])

  def write_pictures(
      self, folder: str, drawn: Mapping[str, np.ndarray]
  ) -> None:
    """Writes pictures {name: [H, W, 3] uint8} as PNG files in a subfolder."""
    for name, picture in drawn.items():
      path = self.pictures / folder / f'{name}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      image.write_png(path, picture)

  def note_start(self, facts: Mapping[str, Any]) -> None:
    """Adds a start of the run to `starts.jsonl`; see `runtime.machine`."""
    _append_json(self.starts, facts)

  def note_bad_step(self, step: int, seed: int, names: Sequence[str]) -> None:
    """Adds a skipped step to `bad_steps.jsonl`.

    Args:
      step: its number.
      seed: of the run.
      names: of the examples of its batch.
    """
    entry = {'step': step, 'seed': seed, 'examples': names}
    _append_json(self.bad_steps, entry)

  def write_score(
      self, about: Mapping[str, str], step: int, scores: Mapping[str, float]
  ) -> epath.Path:
    """Writes the scores of a step and how they were computed.

    Args:
      about: {name: text} with the `split` and how scores were computed.
      step: step of the checkpoint.
      scores: {name: float}.

    Returns:
      The path of the file.
    """
    path = self._score(about['split'])
    # JSON has no NaN.
    counted = {k: None if math.isnan(v) else v for k, v in scores.items()}
    atomic.write_json(path, {'step': step} | about | counted)
    return path

  def read_score(self, split: str) -> dict | None:
    """Returns what `write_score` wrote of a split, None if there is nothing."""
    path = self._score(split)
    return json.loads(path.read_text()) if path.exists() else None

  def read_temperature(self, step: int) -> float:
    """Returns the temperature of probabilities that was found for a step.

    It is what `segjax.tools.calibrate` wrote; 1, which changes nothing, if the
    run is not calibrated.

    Raises:
      ValueError: it is of another step.
    """
    if not self.calibration.exists():
      return 1.0
    content = json.loads(self.calibration.read_text())
    if content['step'] != step:
      raise ValueError(
          f'{self.calibration} has the temperature of step {content["step"]},'
          f' and the best checkpoint is now that of step {step}: calibrate'
          f' again, by python -m segjax.tools.calibrate --workdir={self.path}'
          ' --replace, or set config.predict.temperature to 1.0.'
      )
    return content['temperature']

  def _score(self, split):
    return self.path / f'score-{split}.json'

  def read_config(self) -> ml_collections.ConfigDict:
    """Reads the config of the run, upgraded to the current version.

    Raises:
      FileNotFoundError: the folder has no config.
    """
    if not self.config.exists():
      raise FileNotFoundError(
          f'{self.path} is no workdir: it has no {self.config.name}. Train'
          ' first: python -m segjax.main --config=... --workdir=...'
      )
    config = upgrade.upgrade(from_json(self.config.read_text()))
    return ml_collections.ConfigDict(config)


def versions() -> dict[str, str]:
  """Returns the versions {name: version} of Python and of `PACKAGES`."""
  return {'python': platform.python_version()} | {
      name: importlib.metadata.version(name) for name in PACKAGES
  }


def differences(
    saved: ml_collections.ConfigDict, config: ml_collections.ConfigDict
) -> list[str]:
  """Returns a line for each field that differs between two configs.

  Fields of `FREE` are left out.
  """
  old = flatten(saved.to_dict())
  new = flatten(from_json(json.dumps(config.to_dict())))
  return [
      f'{key}: {old.get(key, "absent")!r} there,'
      f' {new.get(key, "absent")!r} now'
      for key in sorted(old.keys() | new)
      if old.get(key) != new.get(key) and key not in FREE
  ]


def flatten(tree: dict) -> dict[str, Any]:
  """Flattens nested dicts to {'a.b': value}; an empty dict is a value."""
  flat = traverse_util.flatten_dict(tree, keep_empty_nodes=True, sep='.')
  return {
      key: {} if value is traverse_util.empty_node else value
      for key, value in flat.items()
  }


def from_json(text: str) -> Any:
  """Parses JSON, with tuples in place of lists, as in configs."""

  def tuples(value):
    if isinstance(value, dict):
      return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value

  return tuples(json.loads(text))


def _append_json(path, value):
  """Adds a line to a small file; one in a bucket can only be written anew."""
  before = path.read_text() if path.exists() else ''
  with atomic.replacing(path) as file:
    file.write(f'{before}{json.dumps(value)}\n'.encode())
