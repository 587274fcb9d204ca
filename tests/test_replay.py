import json
import pathlib

import numpy as np
import pytest

from segjax import train
from segjax.artifacts.workdir import Workdir
from segjax.data import pipeline
from segjax.doctor import __main__ as doctor
from segjax.replay import replay
from tests import tiny


@pytest.fixture(scope='module')
def diverged(tmp_path_factory):
  """A run whose first step makes the parameters too large to compute with."""
  workdir = Workdir(tmp_path_factory.mktemp('diverged'))
  config = tiny.get_config()
  config.update(max_bad_steps=2, log_every=1, checkpoint_every=1)
  config.lr.update(base=1e30, schedule='constant', warmup_steps=0)
  with pytest.raises(train.DivergedError):
    train.run(config, workdir)
  return workdir


def test_a_skipped_step_is_written_down_with_its_examples(diverged):
  lines = diverged.bad_steps.read_text().splitlines()
  noted = [json.loads(line) for line in lines]
  assert [entry['step'] for entry in noted] == [2, 3]
  assert {entry['seed'] for entry in noted} == {diverged.read_config().seed}
  assert noted[0]['examples'] != noted[1]['examples']


def test_a_replay_tells_the_batch_and_the_layer(diverged, capsys):
  files = list(pathlib.Path(diverged.path).rglob('*'))
  kept = {path: path.stat().st_mtime_ns for path in files}
  assert doctor.run(None, str(diverged.path), 2) == 0
  told = capsys.readouterr().out
  noted = json.loads(diverged.bad_steps.read_text().splitlines()[0])
  assert ', '.join(noted['examples']) in told
  assert 'again from the checkpoint of step 1' in told
  (first,) = (line for line in told.splitlines() if line.startswith('The '))
  assert first.startswith('The first value that is not finite is in: the ')
  assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_replay_names_the_examples_that_are_not_finite(diverged, monkeypatch):
  read = pipeline.Batches.__next__
  pixel = 5, 3, 4, 1  # Of the fifth image.

  def spoil(batches):
    batch = read(batches)
    image = batch['image'].copy()
    if len(image) > 5:  # Not where a single one tells the shapes.
      image[pixel] = np.inf
    return {**batch, 'image': image}

  monkeypatch.setattr(pipeline.Batches, '__next__', spoil)
  told = replay(diverged, 1)
  noted = told.splitlines()[1].removesuffix('.').split(': ')[1].split(', ')
  assert 'computed again from the start' in told
  assert f'The image of {noted[5]} is not finite.' in told
  assert 'The first value that is not finite is in: the output of ' in told


def test_a_step_that_went_well_is_said_to_be_finite(diverged):
  assert 'All values of the step are finite here.' in replay(diverged, 1)


@pytest.mark.parametrize('step', [-1, 1000])
def test_a_step_that_the_run_does_not_have_is_refused(diverged, step):
  with pytest.raises(ValueError, match='has the steps 1 to'):
    replay(diverged, step)


@pytest.mark.parametrize('given', [('', 3), ('runs/a', 0), ('', 0)])
def test_flags_that_do_not_go_together_are_refused(given):
  with pytest.raises(SystemExit, match='--workdir=... --replay=STEP'):
    doctor.run(None, *given)
