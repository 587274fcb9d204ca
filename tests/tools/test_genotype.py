import json

import ml_collections
import numpy as np
import pytest

from segjax.artifacts import checkpoint
from segjax.artifacts.workdir import Workdir
from segjax.models import autodeeplab_search
from segjax.tools import genotype


def write(folder, name, steps):
  """Makes the workdir of a run of a model with these {step: params}."""
  workdir = Workdir(folder)
  workdir.make()
  config = {'model_name': name, 'model': {'layers': 3}}
  workdir.claim(ml_collections.ConfigDict(config))
  checkpoints = checkpoint.Checkpoints(workdir.checkpoints)
  for step, params in steps.items():
    checkpoints.save(step, {'params': params, 'mutable': {}})
  checkpoints.close()
  return workdir


def test_the_newest_architecture_is_written_as_fields(tmp_path):
  rng = np.random.default_rng(0)
  steps = {
      step: {
          'alphas': rng.normal(size=(5, 8)).astype(np.float32),
          'betas': rng.normal(size=(3, 4, 3)).astype(np.float32),
      }
      for step in (1, 2)
  }
  workdir = write(tmp_path / 'search', 'autodeeplab_search', steps)
  output = tmp_path / 'found.json'
  genotype.main(workdir, str(output))
  expected = autodeeplab_search.decode(steps[2])
  assert json.loads(output.read_text()) == json.loads(json.dumps(expected))


def test_a_run_that_searches_for_nothing_is_refused(tmp_path):
  workdir = write(tmp_path / 'run', 'deeplabv3', {1: {'a': np.zeros(2)}})
  with pytest.raises(ValueError, match='autodeeplab_search'):
    genotype.load(workdir)
