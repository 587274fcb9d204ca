"""Searches as a user runs them, small, and killed in between."""

import importlib
import re

import jax
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
    'fasterseg_search': ('layers=3', 'features=1'),
}
GROUPS = {
    name: importlib.import_module(f'configs.{name}').get_config().optim.groups
    for name in SMALLEST
}


def turn(name, step):
  """Whose turn a step of a search of `STEPS` steps is, counted from 0."""
  groups = GROUPS[name].to_dict()
  return int(optim.turn(groups, step, total_steps=STEPS))


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
      '--config.eval_every=3',
      '--config.log_every=1',
      '--config.dataset.options.length=16',
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
