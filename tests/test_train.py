import contextlib
import itertools
import json
import pathlib
import signal
from unittest import mock

import jax
import numpy as np
import pytest

from segjax import experiment
from segjax import optim
from segjax import train
from segjax.artifacts import checkpoint
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.data import pipeline
from segjax.data.datasets.shapes import LABEL_MAP
from segjax.layers.norm import ONE_BATCH
from segjax.runtime import sigterm
from segjax.tasks import semantic
from tests import tiny
from tests.faults import kills


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = Workdir(tmp_path_factory.mktemp('finished'))
  save = Checkpoints.save

  def save_and_wait(checkpoints, *args):
    # A save in the background has files and threads of its own, for as long as
    # the machine takes: those of the run could not be counted.
    save(checkpoints, *args)
    checkpoints.wait()

  with mock.patch.object(Checkpoints, 'save', save_and_wait):
    train.run(tiny.get_config(), workdir)
  return workdir


def with_nan(monkeypatch, steps):
  """The batches of these steps hold NaN, first counted as 0."""
  # The first batch that is read tells the shapes alone.
  read, count = pipeline.Batches.__next__, itertools.count(-1)

  def read_and_spoil(batches):
    batch = read(batches)
    spoilt = next(count) in steps
    return {**batch, 'image': batch['image'] * (np.nan if spoilt else 1)}

  monkeypatch.setattr(pipeline.Batches, '__next__', read_and_spoil)


def test_a_run_leaves_its_files(finished):
  names = {path.name for path in finished.path.glob('[!.]*')}
  assert names == {
      *('checkpoints', 'config.json', 'labels.json', 'metrics.jsonl'),
      *('pictures', 'score-val.json', 'starts.jsonl', 'tensorboard'),
      'versions.json',
  }
  assert list((finished.path / 'tensorboard').glob('events.*'))
  for step in (6, 12):
    drawn = (finished.pictures / f'step-{step}').glob('*.png')
    assert {path.name for path in drawn} == {'panel_0.png', 'confusion.png'}


def test_summaries_tell_what_the_steps_did(finished):
  metrics = tiny.read_metrics(finished)
  # Every second one, and whenever there is a checkpoint.
  assert list(metrics) == [2, 3, 4, 6, 8, 9, 10, 12]
  for values in metrics.values():
    assert {name for name in values if not name.startswith('val/')} == {
        *('time', 'train/loss', 'train/cross_entropy', 'train/aux_c4'),
        *('train/learning_rate', 'train/grad_norm', 'train/skipped_steps'),
        *('speed/steps_per_second', 'speed/images_per_second_per_device'),
        *('speed/data_wait_share', 'speed/skipped_examples'),
        *('host/memory_GB', 'host/open_files', 'host/threads'),
        *('host/compilations', 'host/cpu_minutes'),
    }
    assert values['train/skipped_steps'] == 0
    assert values['train/grad_norm'] > 0
    assert values['speed/images_per_second_per_device'] > 0
    assert 0 <= values['speed/data_wait_share'] <= 1


def test_summaries_have_the_scores_of_every_evaluation(finished):
  metrics = tiny.read_metrics(finished)
  scored = [step for step in metrics if 'val/mIoU' in metrics[step]]
  assert scored == [6, 12]
  for step in scored:
    assert {name for name in metrics[step] if name.startswith('val/')} == {
        *('val/mIoU', 'val/accuracy', 'val/mean_accuracy', 'val/fwIoU'),
        *('val/dice', 'val/boundary_IoU', 'val/mBA', 'val/images_per_second'),
        *(f'val/IoU/{name}' for name in LABEL_MAP.names),
    }


def test_nothing_is_compiled_after_the_first_evaluation(finished):
  metrics = tiny.read_metrics(finished)
  after = [metrics[step] for step in metrics if step > 6]
  assert metrics[2]['host/compilations'] > 0
  assert len({values['host/compilations'] for values in after}) == 1
  # Libraries start a thread, or open a file, when they first need one.
  for name in ('host/open_files', 'host/threads'):
    assert after[-1][name] <= max(values[name] for values in after[:-1]) + 2


def test_the_loss_goes_down(finished):
  metrics = tiny.read_metrics(finished)
  assert metrics[12]['train/loss'] < 0.9 * metrics[2]['train/loss']


def test_the_loss_is_the_sum_of_its_parts(finished):
  values = tiny.read_metrics(finished)[12]
  parts = values['train/cross_entropy'] + 0.4 * values['train/aux_c4']
  assert values['train/loss'] == pytest.approx(parts, rel=1e-5)


def test_the_learning_rate_is_that_of_the_last_step(finished):
  config = tiny.get_config()
  schedule = optim.schedule(config.total_steps, **config.lr)
  for step, values in tiny.read_metrics(finished).items():
    expected = pytest.approx(float(schedule(step - 1)), rel=1e-5)
    assert values['train/learning_rate'] == expected


def test_summaries_checkpoint_and_score_file_agree(finished):
  summary = tiny.read_metrics(finished)[12]
  saved = Checkpoints(finished.checkpoints, read_only=True).scores(12)
  score = json.loads((finished.path / 'score-val.json').read_text())
  assert (score['step'], score['split']) == (12, 'val')
  for name, value in saved.items():
    written = None if np.isnan(value) else value
    assert score[name] == summary[f'val/{name}'] == written


def test_a_finished_run_says_so_and_does_nothing(finished, monkeypatch, caplog):
  files = {
      path: path.stat().st_mtime_ns
      for path in pathlib.Path(finished.path).rglob('*')
      if path.is_file() and not path.name.startswith(('.lock', 'score-'))
  }
  monkeypatch.setattr(experiment, 'training', None)
  with caplog.at_level('INFO', logger='absl'):
    scores = train.run(tiny.get_config(), finished)
  assert 'This run is finished' in caplog.text
  assert str(finished.checkpoints) in caplog.text
  assert scores['mIoU'] == tiny.read_metrics(finished)[12]['val/mIoU']
  assert all(path.stat().st_mtime_ns == time for path, time in files.items())


def test_a_run_killed_before_its_score_was_written_writes_it(finished):
  score = finished.path / 'score-val.json'
  before = score.read_text()
  score.unlink()
  train.run(tiny.get_config(), finished)
  assert score.read_text() == before


def test_the_average_of_parameters_is_what_is_evaluated(finished):
  saved = Checkpoints(finished.checkpoints, read_only=True).read(12)
  _, variables = checkpoint.best(finished.checkpoints)
  average, last = saved['ema'], saved['params']
  kernel = variables['params']['classifier']['kernel']
  np.testing.assert_array_equal(kernel, average['classifier']['kernel'])
  assert not np.array_equal(kernel, last['classifier']['kernel'])


def test_sigterm_is_the_callers_again_after_a_run(finished):
  del finished
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_steps_that_are_not_finite_are_skipped_until_there_are_too_many(
    tmp_path, monkeypatch
):
  config = tiny.get_config()
  config.update(log_every=1, max_bad_steps=3, checkpoint_every=6)
  workdir = Workdir(tmp_path)
  with monkeypatch.context() as patch:
    with_nan(patch, {1, 7, 8, 9})
    with pytest.raises(train.DivergedError) as error:
      train.run(config, workdir)
  assert 'not finite in 3 steps in a row, up to step 10' in str(error.value)
  assert 'The last good checkpoint is step 6' in str(error.value)
  assert 'config.lr.base' in str(error.value)

  metrics = tiny.read_metrics(workdir)
  skipped = [metrics[step]['train/skipped_steps'] for step in range(1, 10)]
  assert skipped == [0, 1, 1, 1, 1, 1, 1, 2, 3]
  assert metrics[2]['train/loss'] is None
  assert metrics[3]['train/loss'] > 0
  assert Checkpoints(workdir.checkpoints).steps() == [6]
  lines = workdir.bad_steps.read_text().splitlines()
  noted = [json.loads(line) for line in lines]
  assert [entry['step'] for entry in noted] == [2, 8, 9, 10]
  assert all(len(entry['examples']) == config.batch_size for entry in noted)

  # With the cause mended, the same command goes on from there.
  train.run(config, workdir)
  metrics = tiny.read_metrics(workdir)
  assert metrics[12]['train/skipped_steps'] == 1
  assert metrics[8]['train/loss'] > 0


def test_a_stop_within_an_evaluation_has_saved_and_changes_no_result(
    finished, tmp_path, monkeypatch
):
  workdir = Workdir(tmp_path)
  with monkeypatch.context() as patch:
    add = semantic.Scores.add

    def add_and_stop(scores, *args):
      signal.raise_signal(signal.SIGTERM)
      add(scores, *args)

    patch.setattr(semantic.Scores, 'add', add_and_stop)
    with pytest.raises(sigterm.Stopped):
      train.run(tiny.get_config(), workdir)
  saved = Checkpoints(workdir.checkpoints, read_only=True)
  assert saved.steps() == [3, 6]
  assert saved.scores(6) == {}
  assert 'val/mIoU' not in tiny.read_metrics(workdir)[6]

  train.run(tiny.get_config(), workdir)
  kills.assert_same_end(workdir, finished)


def test_a_failed_evaluation_names_the_example_and_is_made_up_for(
    finished, tmp_path, monkeypatch, caplog
):
  workdir = Workdir(tmp_path)
  with monkeypatch.context() as patch:
    add = semantic.Scores.add

    def add_all_but_one(scores, example, prediction):
      if example['name'] == 'val_000003':
        raise ValueError('no such class')
      add(scores, example, prediction)

    patch.setattr(semantic.Scores, 'add', add_all_but_one)
    with pytest.raises(ValueError, match='val_000003 .*no such class'):
      train.run(tiny.get_config(), workdir)
  assert 'Step 6 is saved, and its evaluation has failed' in caplog.text
  assert Checkpoints(workdir.checkpoints, read_only=True).steps() == [3, 6]

  train.run(tiny.get_config(), workdir)
  kills.assert_same_end(workdir, finished)


def test_norms_have_the_statistics_of_the_batches_that_follow(tmp_path):
  config = tiny.get_config()
  config.update(precise_norms=2, total_steps=6, eval_every=6)
  workdir = Workdir(tmp_path)
  train.run(config, workdir)
  saved = Checkpoints(workdir.checkpoints, read_only=True).read(6)
  running = saved['mutable']['batch_stats']
  variables = {
      'params': saved['ema'],  # What is evaluated.
      'batch_stats': running,
      ONE_BATCH: running,
  }

  setup = experiment.training(config)
  expected = []
  with contextlib.closing(setup.batches(6)) as batches:
    for batch in itertools.islice(batches, 2):
      _, changed = setup.system.apply(
          variables, batch, train=True, rng=jax.random.key(0)
      )
      expected.append(changed[ONE_BATCH]['backbone']['stem']['norm'])
  for name, value in running['backbone']['stem']['norm'].items():
    mean = np.mean([statistics[name] for statistics in expected], 0)
    np.testing.assert_allclose(value, mean, rtol=1e-4)
