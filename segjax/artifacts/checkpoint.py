"""Checkpoints by Orbax: the newest and the best, and how a run finds its own.

A checkpoint is the train state as nested dicts. The scores of an evaluation at
that step are added to it afterwards, where Orbax would have written them.
"""

import contextlib
import json
import math
import zlib

from absl import logging
from etils import epath
import flax
import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from segjax.runtime import atomic

# Name in a checkpoint under which the score is kept that the best one is chosen
# by. Older checkpoints lack it, and are chosen by their mIoU.
BEST = 'best'
CHECKSUM = 'crc32'  # Of the scores themselves, among them.
METRICS = 'metrics/metrics'  # File in a checkpoint that has the scores.
# Of several processes the first alone has to do with checkpoints.
ALONE = ocp.options.MultiprocessingOptions(
    primary_host=0, active_processes={0}, barrier_sync_key_prefix='first'
)


class Checkpoints:
  """The checkpoints under one folder."""

  def __init__(self, folder, keep=2, *, read_only=False):
    """Opens a folder.

    Args:
      folder: where they are, or will be made at the first save.
      keep: how many of the newest to keep, beside the best. With 2, a damaged
        newest one costs the work since the one before.
      read_only: nothing is made, saved or cleaned up.
    """
    self.folder = epath.Path(folder).resolve()  # Orbax wants it absolute.
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
        create=False,  # Orbax does it for all processes or for none.
        read_only=read_only,
        lightweight_initialize=read_only,  # Scores are read when needed.
        cleanup_tmp_directories=not read_only,
        # Else a disk that is full then keeps threads waiting for minutes.
        async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        multiprocessing_options=ALONE,
    )
    if not read_only:
      self.folder.mkdir(parents=True, exist_ok=True)
      self._set_aside_without_scores()
    self._manager = ocp.CheckpointManager(
        self.folder,
        options=options,
        # Else Orbax asks the first checkpoint it meets, be it damaged.
        item_handlers=ocp.StandardCheckpointHandler(
            multiprocessing_options=ALONE
        ),
    )

  def steps(self):
    """Returns the steps with a checkpoint, oldest first."""
    return sorted(self._manager.all_steps())

  def best_step(self):
    """Returns the step with the best score, or the newest if none has one."""
    scored = [
        (_score(scores), step)
        for step in self.steps()
        if (scores := self._metrics(step))
    ]
    return max(scored)[1] if scored else max(self.steps(), default=None)

  def scores(self, step):
    """Returns the scores of a step, {} if it was not evaluated or is gone."""
    scores = self._metrics(step)
    return {k: v for k, v in scores.items() if k not in (BEST, CHECKSUM)}

  def _metrics(self, step):
    """Returns what was written as the scores of a step."""
    if step not in self.steps():
      return {}
    try:
      return dict(self._manager.metrics(step) or {})
    except ValueError as error:
      logging.error('%s has no readable scores: %s', self._path(step), error)
      return {}

  def save(self, step, state, scores=None, best='mIoU'):
    """Begins to write a checkpoint; training goes on meanwhile.

    With scores it waits until it is written, and adds them.

    Args:
      step: of the state.
      state: a tree of arrays.
      scores: {name: float} of the evaluation at this step, if there was one.
      best: name of the score that the best checkpoint is chosen by.

    Raises:
      OSError: this or the one before could not be written.
    """
    if step not in self.steps():
      self._save(step, state)
    if scores:
      self.add_scores(step, scores, best)

  def _save(self, step, state):
    # On the host: read again wherever, on any number of devices.
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

  def add_scores(self, step, scores, best='mIoU'):
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

  def prune(self):
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

  def wait(self):
    """Returns when everything is on disk; raises OSError if it is not."""
    try:
      self._manager.wait_until_finished()
      self._manager.check_for_errors()
    except Exception as error:
      raise self._unwritten(error) from error

  def read(self, step):
    """Returns a checkpoint as nested dicts of NumPy arrays.

    Raises:
      Exception: of many kinds, if it is damaged. Orbax itself does not notice
        all that has changed on the disk.
    """
    saved = self._manager.restore(step, args=ocp.args.StandardRestore())
    about = self._manager.metadata(step).custom_metadata or {}
    expected = about.get('crc32')  # None in one of an older version.
    scores = self._metrics(step)
    if CHECKSUM in scores:
      intact = scores.pop(CHECKSUM) == _crc32({}, scores)
      scores = {}
    else:  # None, or of an older version, which has one checksum of all.
      intact = True
    if not intact or expected not in (None, _crc32(saved, scores)):
      raise ValueError('what it holds is not what was written')
    return saved

  def restore(self, state):
    """Returns the newest state that can be read, or None if there is none.

    One that cannot is set aside as `damaged-STEP`, named in the log, and the
    one before is tried.

    Args:
      state: a state of the same structure, for shapes and types.

    Raises:
      ValueError: a readable checkpoint is of another model.
    """
    template = flax.serialization.to_state_dict(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    )
    for step in reversed(self.steps()):
      try:
        saved = self.read(step)
      except Exception as error:  # Orbax raises as many kinds as files fail.
        self._set_aside(self._path(step), error)
        self._manager.reload()
        continue
      self._check(step, saved, template)
      return flax.serialization.from_state_dict(state, saved)
    return None

  def close(self):
    """Waits for what is being written, and lets go of the folder."""
    try:
      self.wait()
    finally:  # Threads of Orbax that stay are heard of at the end of Python.
      self._manager.close()

  def _unwritten(self, error):
    good = max(self.steps(), default=None)
    kept = f'The last good one is step {good}.' if good else 'None was written.'
    return OSError(
        f'A checkpoint could not be written to {self.folder}: {error}. {kept}'
    )

  def _path(self, step):
    return self.folder / str(step)

  def _set_aside_without_scores(self):
    """Sets aside those whose scores would keep Orbax from opening a folder."""
    for path in self.folder.glob(f'*/{METRICS}'):
      checkpoint = path.parent.parent
      if checkpoint.name.isdigit():
        try:
          json.loads(path.read_text())
        except ValueError as error:
          self._set_aside(checkpoint, error)

  def _set_aside(self, path, error):
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


def best(folder):
  """Returns the best step of a folder and its variables, NumPy arrays.

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
  """Returns a checksum of arrays, with their names, and of scores."""
  crc = zlib.crc32(json.dumps(scores or {}, sort_keys=True).encode())
  for path, value in jax.tree.leaves_with_path(tree):
    array = np.asarray(value)
    about = f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'
    crc = zlib.crc32(about.encode(), crc)
    crc = zlib.crc32(array.reshape(-1).view(np.uint8), crc)
  return crc


def _score(scores):
  """Ranks by the score of `BEST`; an undefined one is the worst."""
  value = scores.get(BEST, scores.get('mIoU', math.nan))
  return -1.0 if math.isnan(value) else value
