"""Replays a step of a run that was skipped, to find what was not finite.

The state and the batch of each step follow from the config, so the step can be
computed again: from the last checkpoint before it, through the steps between.
A score that has lowered the learning rate since that checkpoint is not known
here; the rate of the steps after it is then that of before.
"""

import contextlib

import flax
import jax
import numpy as np

from segjax import experiment
from segjax import parallel
from segjax import train
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.runtime import progress


def replay(workdir: Workdir, step: int) -> str:
  """Computes a step again and returns a report of where it went wrong.

  Nothing in the workdir changes.

  Args:
    workdir: of the run.
    step: its number; the first is 1.

  Raises:
    ValueError: the run has no such step.
  """
  config = workdir.read_config()
  if not 1 <= step <= config.total_steps:
    raise ValueError(
        f'--replay={step}: the run in {workdir.path} has the steps 1 to'
        f' {config.total_steps}. Those that it skipped are listed in'
        f' {workdir.bad_steps}.'
    )
  setup = experiment.training(config)
  state = setup.layout.place(_state_before(setup, workdir, step))
  first = int(state.step)
  step_fn = setup.layout.compile_step(setup.step, state)
  search = setup.layout.compile_step(setup.search_step, state)
  with contextlib.closing(setup.batches(first)) as batches:
    before = range(first + 1, step)
    for _ in progress.track(before, len(before), f'Steps before {step}'):
      state, scalars = step_fn(state, setup.layout.shard(next(batches)))
      jax.block_until_ready(scalars)
    batch = next(batches)
  names = setup.names(step)
  spoilt = _spoilt_parameters(state)
  _, found = search(state, setup.layout.shard(batch))
  lines = [
      f'Step {step} of {workdir.path}, seed {config.seed}, computed again from'
      f' {f"the checkpoint of step {first}" if first else "the start"}.',
      f'Its examples: {", ".join(names)}.',
  ]
  lines += [f'The state before it is not finite: {name}.' for name in spoilt]
  for name, array in batch.items():
    lines += [
        f'The {name} of {names[i]} is not finite.'
        for i, entry in enumerate(array)
        if not np.isfinite(entry).all()
    ]
  where = [name for name, share in found.items() if share > 0]
  if where:
    lines.append(
        'The first value that is not finite is in:'
        f' {min(where).partition(" ")[2]}.'  # Without its number.
    )
  else:
    lines.append(
        'All values of the step are finite here. The run may have had other'
        ' data, another machine, or other versions; see versions.json.'
    )
  return '\n'.join(lines)


def _state_before(setup, workdir, step):
  """Returns the state of the last checkpoint before a step, or the first one.

  Args:
    setup: from `experiment.training`.
    workdir: of the run.
    step: number of the step.
  """
  state = setup.init()
  if workdir.checkpoints.exists():
    saved = Checkpoints(workdir.checkpoints, read_only=True)
    with contextlib.closing(saved) as checkpoints:
      earlier = [other for other in checkpoints.steps() if other < step]
      if earlier:
        newest = max(earlier)
        kept = checkpoints.read(newest)
        state = flax.serialization.from_state_dict(state, kept)
        scores = checkpoints.scores(newest)
        best = setup.system.task.BEST
        return train.observed(state, scores[best]) if scores else state
  return train.first_state(setup, state)


def _spoilt_parameters(state):
  """Returns the names of variables of a state that are not finite."""
  variables = parallel.whole({'params': state.params, **state.mutable})
  return [
      '/'.join(key.key for key in path)
      for path, x in jax.tree.leaves_with_path(variables)
      if not np.isfinite(x).all()
  ]
