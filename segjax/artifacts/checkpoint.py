"""Saves and restores checkpoints of training by Orbax.

A checkpoint holds the train state as nested dicts. The scores of an evaluation
at that step are added to it afterwards, where Orbax would have written them.
"""

from collections.abc import Mapping
import contextlib
import json
import math
import os
import re
import tempfile
from typing import Any
import zlib

from absl import logging
from etils import epath
import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from segjax.runtime import atomic

# Name, among the scores of a checkpoint, of the score that selects the best
# one. Checkpoints of older versions lack it, and are selected by mIoU.
BEST = 'best'
CHECKSUM = 'crc32'  # Name of the checksum of the scores, among them.
METRICS = 'metrics/metrics'  # File of the scores in a checkpoint.
# Paths that no library takes for a pattern.
PLAIN = re.compile('[A-Za-z0-9/._-]*')
# Only the first of several processes reads and writes checkpoints.
ALONE = ocp.options.MultiprocessingOptions(
    primary_host=0, active_processes={0}, barrier_sync_key_prefix='first'
)


class Checkpoints:
  """The checkpoints of a run: the newest ones and the best."""

  def __init__(
      self, folder: epath.PathLike, keep: int = 2, *, read_only: bool = False
  ):
    """Opens a folder of checkpoints.

    Args:
      folder: the folder; it is made if it does not exist.
      keep: number of the newest checkpoints to keep, beside the best. With 2, a
        run whose newest checkpoint is damaged resumes from the one before.
      read_only: whether the folder is left unchanged.
    """
    self.folder = epath.Path(folder).resolve()  # Orbax needs an absolute path.
    self._keep = keep
    policy = checkpoint_managers.AnyPreservationPolicy(
        [
            checkpoint_managers.LatestN(keep),
            checkpoint_managers.BestN(
                get_metric_fn=_score,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policy,
        create=False,  # Orbax cannot do it in the first process alone.
        read_only=read_only,
        lightweight_initialize=read_only,  # Reads scores when they are needed.
        cleanup_tmp_directories=not read_only,
        # With True, threads wait for minutes when the disk is full.
        async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        multiprocessing_options=ALONE,
    )
    if not read_only:
      self.folder.mkdir(parents=True, exist_ok=True)
      self._set_aside_without_scores()
    self._alias = _Alias(self.folder)
    self._manager = ocp.CheckpointManager(
        self._alias.path,
        options=options,
        # Without a handler, Orbax infers one from a checkpoint, which may be
        # damaged.
        item_handlers=ocp.StandardCheckpointHandler(
            multiprocessing_options=ALONE
        ),
    )

  def steps(self) -> list[int]:
    """Returns the steps that have a checkpoint, oldest first."""
    return sorted(self._manager.all_steps())

  def best_step(self) -> int | None:
    """Returns the step with the best score, or the newest if none has one."""
    scored = [
        (_score(scores), step)
        for step in self.steps()
        if (scores := self._metrics(step))
    ]
    return max(scored)[1] if scored else max(self.steps(), default=None)

  def scores(self, step: int) -> dict[str, float]:
    """Returns the scores of a step; {} if it has none or was deleted."""
    scores = self._metrics(step)
    return {k: v for k, v in scores.items() if k not in (BEST, CHECKSUM)}

  def _metrics(self, step):
    """Returns the scores of a step with the entry `BEST`, or {}."""
    if step not in self.steps():
      return {}
    try:
      return dict(self._manager.metrics(step) or {})
    except ValueError as error:
      logging.error('%s has no readable scores: %s', self._path(step), error)
      return {}

  def save(
      self,
      step: int,
      state: Any,
      scores: Mapping[str, float] | None = None,
      best: str = 'mIoU',
  ) -> None:
    """Starts to write a checkpoint, which continues in the background.

    With scores it waits until it is written, and adds them.

    Args:
      step: step of the state.
      state: a tree of arrays.
      scores: {name: float} of the evaluation at this step, if there was one.
      best: name of the score that selects the best checkpoint.

    Raises:
      OSError: this checkpoint or the one before could not be written.
    """
    if step not in self.steps():
      self._save(step, state)
    if scores:
      self.add_scores(step, scores, best)

  def _save(self, step, state):
    # Arrays of the host can be restored on any number of devices.
    written = flax.serialization.to_state_dict(jax.device_get(state))
    try:
      self._manager.save(
          step,
          args=ocp.args.StandardSave(written),
          custom_metadata={'crc32': _crc32(written)},
          force=True,
      )
    except Exception as error:
      raise self._unwritten(error) from error

  def add_scores(
      self, step: int, scores: Mapping[str, float], best: str = 'mIoU'
  ) -> None:
    """Adds the scores of an evaluation to the checkpoint of a step.

    They are there as a whole or not at all; then the checkpoints that are
    neither among the newest nor the best are deleted.

    Args:
      step: of a checkpoint that has none.
      scores: {name: float}.
      best: name of the score that the best checkpoint is chosen by.

    Raises:
      OSError: the checkpoint or its scores could not be written.
    """
    self.wait()
    scores = {name: float(value) for name, value in scores.items()}
    scores[BEST] = scores[best]
    scores[CHECKSUM] = _crc32({}, scores)
    path = self._path(step) / METRICS
    try:
      path.parent.mkdir(exist_ok=True)
      with atomic.replacing(path) as file:
        file.write(json.dumps(scores).encode())
    except OSError as error:
      raise self._unwritten(error) from error
    self._manager.reload()
    self.prune()

  def prune(self) -> None:
    """Deletes what is neither among the newest checkpoints nor the best.

    Orbax does so when it saves, and knows no scores that come later.
    """
    steps = self.steps()
    kept = {*steps[-self._keep :]}
    if any(map(self._metrics, steps)):
      kept.add(self.best_step())
    for step in steps:
      if step not in kept:
        self._manager.delete(step)

  def wait(self) -> None:
    """Waits until all checkpoints are written; raises OSError if one is not."""
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._unwritten(error) from error

  def read(self, step: int) -> dict:
    """Returns a checkpoint as nested dicts of NumPy arrays.

    Raises:
      Exception: of any type, if it is damaged. The checksum finds changes on
        the disk that Orbax does not notice.
    """
    saved = self._manager.restore(step, args=ocp.args.StandardRestore())
    about = self._manager.metadata(step).custom_metadata or {}
    expected = about.get('crc32')  # Older versions wrote none.
    scores = self._metrics(step)
    if CHECKSUM in scores:
      intact = scores.pop(CHECKSUM) == _crc32({}, scores)
      scores = {}
    else:  # None, or of an older version, which has one checksum of all.
      intact = True
    if not intact or expected not in (None, _crc32(saved, scores)):
      raise ValueError('what it holds is not what was written')
    return saved

  def restore(self, state: Any) -> Any:
    """Returns the state of the newest readable checkpoint, or None.

    Unreadable ones are renamed to `damaged-STEP` and logged, and the one before
    is tried.

    Args:
      state: a state with the structure, shapes and types to restore.

    Raises:
      ValueError: a readable checkpoint belongs to another model.
    """
    template = flax.serialization.to_state_dict(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    )
    for step in reversed(self.steps()):
      try:
        saved = self.read(step)
      except Exception as error:  # Orbax raises errors of any type.
        self._set_aside(self._path(step), error)
        self._manager.reload()
        continue
      self._check(step, saved, template)
      return flax.serialization.from_state_dict(state, saved)
    return None

  def close(self) -> None:
    """Waits for what is being written, and lets go of the folder."""
    try:
      self.wait()
    finally:  # Threads of Orbax that stay are heard of at the end of Python.
      self._manager.close()
      self._alias.remove()

  def _unwritten(self, error):
    """Returns the OSError for a checkpoint that could not be written."""
    good = max(self.steps(), default=None)
    last = f'The last good one is step {good}.' if good else 'None was written.'
    return OSError(
        f'A checkpoint could not be written to {self.folder}: {error}. {last}'
    )

  def _path(self, step):
    """Returns the folder of the checkpoint of a step."""
    return self.folder / str(step)

  def _set_aside_without_scores(self):
    """Renames checkpoints with damaged scores: Orbax cannot open the folder."""
    for checkpoint in list(self.folder.iterdir()):
      path = checkpoint / METRICS
      if checkpoint.name.isdigit() and path.exists():
        try:
          json.loads(path.read_text())
        except ValueError as error:
          self._set_aside(checkpoint, error)

  def _set_aside(self, path, error):
    """Renames a damaged checkpoint to `damaged-STEP`, and logs the error."""
    aside = self.folder / f'damaged-{path.name}'
    logging.error(
        'Checkpoint %s cannot be read (%s). It is kept as %s and the one'
        ' before is used.',
        path,
        str(error).splitlines()[0],
        aside,
    )
    if aside.exists():
      aside.rmtree()
    path.rename(aside)

  def _check(self, step, saved, template):
    """Raises ValueError if variables of a checkpoint do not fit a state."""
    if 'opt_state' in template.keys() - saved.keys():
      raise ValueError(
          f'{self.folder.parent} holds converted weights, not a run. Begin one'
          ' with them in another --workdir: --config.init_from='
          f'{self.folder.parent}'
      )
    old, new = (
        {
            key: np.shape(value) if not hasattr(value, 'shape') else value.shape
            for key, value in flax.traverse_util.flatten_dict(
                tree, sep='/'
            ).items()
        }
        for tree in (saved, template)
    )
    if old != new:
      differing = sorted(
          key for key in old.keys() | new if old.get(key) != new.get(key)
      )
      lines = '\n'.join(
          f'  {key}: {old.get(key, "absent")} in the checkpoint,'
          f' {new.get(key, "absent")} in the model'
          for key in differing[:20]
      )
      raise ValueError(
          f'Checkpoint {self._path(step)} is of another model;'
          f' {len(differing)} variables differ:\n{lines}'
      )


class _Alias:
  """Another name of a folder, for Orbax, which takes some names for patterns.

  With brackets in the path, say, it writes checkpoints that it cannot read.

  Attributes:
    path: the folder itself where its name is plain or it is in a bucket, else a
      link to it.
  """

  def __init__(self, folder):
    self.path, self._holder = folder, None
    if '://' in str(folder) or PLAIN.fullmatch(str(folder)):
      return
    self._holder = tempfile.TemporaryDirectory(prefix='segjax-')
    self.path = epath.Path(self._holder.name) / 'checkpoints'
    if not PLAIN.fullmatch(str(self.path)):
      self.remove()
      raise ValueError(
          f'Checkpoints in {folder} are reached through a link in the folder'
          f' for temporary files, {tempfile.gettempdir()}, whose name has other'
          ' characters than letters, digits and ./_-: set TMPDIR to another.'
      )
    os.symlink(folder, self.path, target_is_directory=True)

  def remove(self):
    """Removes the link, and nothing that it leads to."""
    if self._holder:
      self._holder.cleanup()


def best(folder: epath.PathLike) -> tuple[int, dict]:
  """Returns the best step of a folder and its variables, as NumPy arrays.

  Raises:
    FileNotFoundError: there is no checkpoint.
    OSError: the best one is damaged.
  """
  with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
    step = checkpoints.best_step()
    if step is None:
      raise FileNotFoundError(
          f'There is no checkpoint in {folder}: train first.'
      )
    try:
      saved = checkpoints.read(step)
    except Exception as error:
      raise OSError(
          f'Checkpoint {checkpoints.folder / str(step)}, the best, cannot be'
          f' read: {error}. Move it away to use another.'
      ) from error
  params = saved.get('ema') or saved['params']
  return step, {'params': params, **saved['mutable']}


def _crc32(tree, scores=None):
  """Returns a checksum of scores and of arrays with names, types and values."""
  crc = zlib.crc32(json.dumps(scores or {}, sort_keys=True).encode())
  for path, value in jax.tree.leaves_with_path(tree):
    array = np.asarray(value)
    about = f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'
    crc = zlib.crc32(about.encode(), crc)
    crc = zlib.crc32(array.reshape(-1).view(np.uint8), crc)
  return crc


def _score(scores):
  """Returns the score that checkpoints are ranked by; NaN becomes -1."""
  value = scores.get(BEST, scores.get('mIoU', math.nan))
  return -1.0 if math.isnan(value) else value
