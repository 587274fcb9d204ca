"""Searches as a user runs them, small, and killed in between."""

import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import optim
from segjax.artifacts.checkpoint import Checkpoints
from tests.faults import kills
from tests.runs import Runs

STEPS = 6
# Networks of all paths that are as small as they can be.
SMALLEST = {
    'autodeeplab_search': ('layers=1', 'blocks=1'),
    'fasterseg_search': ('layers=4', 'features=1'),
}
GROUPS = {
    name: importlib.import_module(f'configs.{name}').get_config().optim.groups
    for name in SMALLEST
}


def turn(name, step):
  """Whose turn a step of a search of `STEPS` steps is, counted from 0."""
  groups = GROUPS[name].to_dict()
  return int(optim.turn(groups, step, total_steps=STEPS))


# Some parameters of each; the rest are of its group, too.
PARAMS = {
    'autodeeplab_search': {
        'alphas': np.ones((20, 8), np.float32),
        'betas': np.ones((4, 4, 3), np.float32),
        'stem0': {'kernel': np.ones((3, 3), np.float32)},
    },
    'fasterseg_search': {
        'student': {'alpha0': np.ones((6, 5), np.float32)},
        'teacher': {'beta1': np.ones((4, 2), np.float32)},
        'cells': {'student_head0': {'kernel': np.ones((3, 3), np.float32)}},
    },
}


@pytest.mark.parametrize('name', PARAMS)
def test_weights_and_architecture_move_in_turns_alone(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  total, groups = config.total_steps, config.optim.groups.to_dict()
  tx = optim.create(
      optim.schedule(total, **config.lr),
      optimizer=config.optim.optimizer,
      weight_decay=config.optim.weight_decay,
      decay_on=config.optim.decay_on,
      factors=(),
      clip=config.optim.clip,
      groups=groups,
      total_steps=total,
  )
  params = jax.tree.map(jnp.asarray, PARAMS[name])
  state = tx.init(params)
  names = optim.by_name(params, str)
  begin, moved = round(total / 3), []
  for step in (0, 1, begin - 1, begin, begin + 1):
    now = int(optim.turn(groups, step, total_steps=total))
    updates, state = tx.update(params, state, params, step=jnp.int32(step))
    new = jax.tree.map(jnp.add, params, updates)
    for path, a, b in zip(
        *map(jax.tree.leaves, (names, params, new)), strict=True
    ):
      of_architecture = bool(re.search(groups['architecture']['names'], path))
      assert np.array_equal(a, b) == (of_architecture != now), (step, path)
    moved.append(now)
  assert moved[:3] == [0, 0, 0]
  assert set(moved[3:]) == {0, 1}


@pytest.mark.slow  # Compiles two networks of all paths, minutes on two cores.
@pytest.mark.parametrize('name', SMALLEST)
def test_a_search_that_is_killed_goes_on_and_moves_one_group_a_step(
    name, tmp_path
):
  runs = Runs(
      tmp_path,
      f'--config=configs/{name}.py',
      *(f'--config.model.{field}' for field in SMALLEST[name]),
      '--config.preprocess.train=random_crop(32)|normalize',
      f'--config.total_steps={STEPS}',
      '--config.checkpoint_every=1',
      '--config.keep=9',
      f'--config.eval_every={STEPS}',
      '--config.log_every=1',
      program=('-m', 'segjax.main'),
  )
  undisturbed = runs.finish('undisturbed')
  (process,) = runs.start('killed')
  workdir = runs.workdir('killed')
  kills.wait_until(kills.is_stepping, process, workdir)
  process.kill()
  process.wait()
  kills.assert_same_end(runs.finish('killed'), undisturbed)

  saved = Checkpoints(undisturbed.checkpoints, read_only=True)
  params = {step: saved.read(step)['params'] for step in saved.steps()}
  assert sorted(params) == list(range(1, STEPS + 1))
  architecture = GROUPS[name].architecture.names
  moved = set()
  for step in range(1, STEPS):
    names = optim.by_name(params[step], str)
    for path, old, new in zip(
        *map(jax.tree.leaves, (names, params[step], params[step + 1])),
        strict=True,
    ):
      changed = not np.array_equal(old, new)
      of_architecture = bool(re.search(architecture, path))
      assert not changed or of_architecture == turn(name, step), (step, path)
      moved.add((changed, of_architecture))
  assert (True, True) in moved
  assert (True, False) in moved
