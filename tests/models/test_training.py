"""Every config trains on the embedded set, as it is but for the numbers."""

import importlib
import re

import jax
import numpy as np
import pytest

from segjax import evaluate
from segjax import experiment
from segjax import models
from segjax import optim

# These stand for the others, of which each takes seconds to compile.
QUICK = ('deconvnet', 'deeplabv3', 'hrnet', 'sds', 'unet')
# XLA takes many minutes for the five layers of this one's config.
SMALLER = {'fasterseg_search': dict(layers=4)}
# Biases whose gradient is zero but for rounding: a norm takes them away.
STILL = {'pan': r'^pyramid/.*/conv/bias$'}
# Kernels that are zeros at first: gates are then open, whatever they see, and
# nothing learns behind a gate that is closed.
ZEROS = {'dynamic_routing': 'gate/score/kernel'}


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in models.names()
    ],
)
def test_two_steps_change_every_parameter_and_scores_follow(
    name, random_state, cheaply_compiled
):
  config = importlib.import_module(f'configs.{name}').get_config()
  config.model.update(SMALLER.get(name, {}))
  config.dataset.options.length = devices = jax.device_count()
  config.batch_size = devices * config.optim.accumulate
  config.total_steps = 2
  config.lr.update(warmup_steps=0, schedule='constant')
  config.optim.weight_decay = 0.0  # Nothing but the loss changes them.
  config.predict.batch_size = 1
  config.num_pictures = 0

  setup = experiment.training(config)
  before = random_state(jax.eval_shape(setup.init))
  names = optim.by_name(before.params, lambda name: name)
  if name in ZEROS:
    params = jax.tree.map(
        lambda path, x: 0 * x if path.endswith(ZEROS[name]) else x,
        names,
        before.params,
    )
    before = before.replace(params=params)
  step = setup.layout.compile_step(setup.step, before)
  state, batches = setup.layout.place(before), setup.batches(0)
  for _ in range(config.total_steps):
    batch = setup.layout.shard(next(batches))
    state, scalars = step(state, batch)
    assert np.isfinite(list(scalars.values())).all()
  batches.close()
  for path, old, new in zip(
      *map(jax.tree.leaves, (names, before.params, state.params)), strict=True
  ):
    if name in STILL and re.search(STILL[name], path):
      continue
    frozen = optim.factor(config.optim.factors, path) == 0
    assert np.array_equal(old, new) == frozen, path

  dataset = experiment.eval_dataset(config)
  evaluation = experiment.evaluation(config, setup.system, dataset)
  predict = evaluation.predictor(state.variables)
  scores, _ = evaluate.score(evaluation, predict)
  assert 0 <= scores[setup.system.task.BEST] <= 1
