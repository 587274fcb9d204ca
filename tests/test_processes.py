"""Processes that train together on this machine, on CPU devices."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from segjax import parallel
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.workdir import Workdir
from segjax.runtime import hosts
from segjax.runtime import rendezvous
from tests import tiny
from tests.runs import ROOT
from tests.runs import Runs
from tests.runs import environment
from tests.runs import free_port

STEPS = tiny.get_config().total_steps
# No number of processes divides the images.
FLAGS = (
    *('--config=tests/tiny.py', '--config.dataset.options.length=15'),
    # Rows that split over four devices.
    '--config.preprocess.train=flip|random_crop(128, 48)|normalize',
    '--config.log_every=1',
)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  return Runs(tmp_path_factory.mktemp('runs'), *FLAGS)


@pytest.fixture(scope='module')
def alone(runs):
  """What one process does, with the two devices."""
  return runs.finish('alone', devices=2)


def assert_same_end(workdir, other):
  """The same state at the end, but for rounding."""
  one, two = (
      Checkpoints(w.checkpoints, read_only=True).read(STEPS)
      for w in (workdir, other)
  )
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
      one,
      two,
  )


@pytest.fixture(scope='module', params=parallel.MODES)
def both(request, runs):
  """What two processes do that launch/processes.sh has started."""
  project = runs.folder / f'project {request.param}'
  shutil.copytree(ROOT / 'launch', project / 'launch')
  for name in ('configs', 'segjax', 'tests'):
    (project / name).symlink_to(ROOT / name)
  shutil.copy(ROOT / 'requirements.txt', project)
  installed = project / '.venv/installed'
  installed.mkdir(parents=True)
  shutil.copy(ROOT / 'requirements.txt', installed)
  python = project / '.venv/bin/python'
  python.parent.mkdir()
  python.write_text(
      '#!/bin/sh\n'
      'if [ "$2" = segjax.main ]\n'
      'then shift 2; set -- -m tests.small_run "$@"\n'
      'fi\n'
      f'exec {sys.executable} "$@"\n'
  )
  python.chmod(0o755)
  process = subprocess.run(
      [
          *('bash', project / 'launch/processes.sh', '2', *FLAGS),
          *(f'--config.parallel={request.param}', f'--port={free_port()}'),
          '--workdir=both',
      ],
      env=environment(),
      capture_output=True,
      text=True,
  )
  assert process.returncode == 0, process.stderr
  return Workdir(project / 'both')


def assert_same_losses(workdir, other):
  one, two = (
      {step: values['train/loss'] for step, values in metrics.items()}
      for metrics in map(tiny.read_metrics, (workdir, other))
  )
  assert one == pytest.approx(two, rel=1e-5)


def test_two_processes_train_as_one(alone, both):
  assert_same_end(both, alone)
  assert_same_losses(both, alone)


def assert_compiled_once(workdir):
  """The later steps need no program that the first has not needed."""
  metrics = tiny.read_metrics(workdir)
  assert metrics[1]['host/compilations'] == metrics[3]['host/compilations'] > 0


def test_two_processes_compile_a_step_once(both):
  assert_compiled_once(both)


def on_mesh(data, rows):
  return '--config.parallel=jit', f'--config.mesh=({data}, {rows})'


SPLIT = (*on_mesh(2, 4), '--config.shard_state=True')


@pytest.fixture(scope='module')
def split(runs):
  """What two processes do on four devices each, images and state split."""
  return runs.finish('split', 2, *SPLIT, devices=8)


def test_processes_that_split_images_and_state_train_as_one(alone, split):
  assert_same_end(split, alone)
  assert_same_losses(split, alone)
  assert_compiled_once(split)


@pytest.mark.parametrize(
    ('processes', 'devices', 'flags'),
    [(1, 1, ()), (1, 8, on_mesh(4, 2)), (2, 8, ())],
)
def test_a_run_is_the_same_on_any_devices(
    runs, alone, processes, devices, flags
):
  name = f'{processes} on {devices}'
  workdir = runs.finish(name, processes, *flags, devices=devices)
  assert_same_end(workdir, alone)
  assert_same_losses(workdir, alone)
  assert_compiled_once(workdir)


def test_a_split_state_goes_on_elsewhere(runs, alone, split):
  shutil.copytree(split.path, runs.folder / 'gathered')
  shutil.rmtree(runs.folder / f'gathered/checkpoints/{STEPS}')
  workdir = runs.finish('gathered', devices=2)
  assert 'Going on from step 9' in runs.log('gathered', 0)
  assert_same_end(workdir, alone)


def test_two_processes_leave_the_files_of_one(alone, both):
  names = [
      {
          str(path.relative_to(workdir.path))
          for path in pathlib.Path(workdir.path).rglob('*')
          if 'checkpoints' not in path.parts
      }
      for workdir in (alone, both)
  ]
  assert names[0] == names[1]
  lines = both.metrics.read_text().splitlines()
  assert len(lines) == len(alone.metrics.read_text().splitlines())


@pytest.mark.parametrize(
    ('processes', 'devices', 'flags'),
    [(1, 1, ()), (2, 2, ()), (1, 8, ()), (2, 8, on_mesh(4, 2))],
)
def test_the_same_weights_have_the_same_score_everywhere(
    runs, alone, processes, devices, flags
):
  name = f'scored by {processes} on {devices}'
  shutil.copytree(alone.path, runs.folder / name)
  workdir = runs.finish(name, processes, '--mode=eval', *flags, devices=devices)
  score = json.loads((workdir.path / 'score-val.json').read_text())
  expected = Checkpoints(alone.checkpoints, read_only=True).scores(
      score['step']
  )
  for name in expected.keys() - {'images_per_second'}:
    value = expected[name]
    assert score[name] == (None if np.isnan(value) else value), name


def test_one_process_goes_on_after_two_that_one_sigterm_stopped(runs, alone):
  processes = runs.stepping('stopped', 2)
  processes[1].send_signal(signal.SIGTERM)
  assert [process.wait(300) for process in processes] == [0, 0]
  (step,) = re.findall(r'SIGTERM; step (\d+) is', runs.log('stopped', 0))
  folder = Workdir(runs.folder / 'stopped').checkpoints
  assert Checkpoints(folder, read_only=True).steps()[-1] == int(step) < STEPS

  workdir = runs.finish('stopped', devices=2)
  assert f'Going on from step {step}' in runs.log('stopped', 0)
  assert_same_end(workdir, alone)


def test_two_processes_go_on_after_one(runs, alone):
  shutil.copytree(alone.path, runs.folder / 'halved')
  shutil.rmtree(runs.folder / f'halved/checkpoints/{STEPS}')
  workdir = runs.finish('halved', 2)
  assert 'Going on from step 9' in runs.log('halved', 0)
  assert_same_end(workdir, alone)


@pytest.mark.parametrize('killed', [0, 1])
def test_a_process_whose_partner_is_killed_ends_and_says_so(runs, killed):
  name = f'killed {killed}'
  processes = runs.stepping(name, 2)
  processes[killed].kill()
  assert processes[1 - killed].wait(300) != 0
  log = runs.log(name, 1 - killed)
  assert re.search('lost contact with another|another task died', log), log


def test_an_error_of_the_first_process_ends_both_in_words(runs, alone):
  shutil.copytree(alone.path, runs.folder / 'other')
  processes = runs.start('other', 2, '--config.lr.base=0.5')
  assert [process.wait(300) for process in processes] == [1, 1]
  for i in range(2):
    assert 'is the workdir of another config' in runs.log('other', i)
    assert 'Traceback' not in runs.log('other', i)
  assert 'segjax: Process 0 has failed' in runs.log('other', 1)


@pytest.fixture
def started(monkeypatch):
  """The arguments with which processes meet and JAX is started."""
  calls = {}
  for name in (
      *('OMPI_COMM_WORLD_SIZE', 'SLURM_JOB_ID', 'JAX_LOCAL_DEVICE_IDS'),
      *('TPU_WORKER_HOSTNAMES', 'TPU_PROCESS_ADDRESSES'),
  ):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(
      rendezvous, 'meet', lambda *args: calls.update(met=args[:3])
  )
  monkeypatch.setattr(
      jax.distributed,
      'initialize',
      lambda *args, local_device_ids, cluster_detection_method, **_: (
          calls.update(
              jax=args,
              local=local_device_ids,
              launcher=cluster_detection_method,
          )
      ),
  )
  return calls


def test_what_is_given_is_taken(started):
  hosts.initialize('a:1', 4, 2)
  told = dict(met=('a:1', 4, 2), jax=('a:1', 4, 2), local=None)
  # Nor is a Slurm job around them asked which devices they have.
  assert started == told | dict(launcher='deactivate')


OPEN_MPI = dict(
    OMPI_COMM_WORLD_SIZE='2',
    OMPI_COMM_WORLD_RANK='1',
    OMPI_COMM_WORLD_LOCAL_RANK='1',
)


def set_all(monkeypatch, variables):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)


def test_without_arguments_jax_asks_the_launcher(started):
  hosts.initialize()
  assert started == dict(jax=(None,) * 3, local=None, launcher=None)


@pytest.fixture
def untold(started, monkeypatch):
  """What happens where no launcher has told JAX anything."""

  def initialize(address, number, index, **_):
    if None in (address, number, index):
      raise ValueError('coordinator_address should be defined.')
    started['jax'] = address, number, index

  monkeypatch.setattr(jax.distributed, 'initialize', initialize)
  return started


def test_a_process_without_others_starts_nothing(untold):
  hosts.initialize()
  hosts.initialize(number=1)
  assert not untold


def test_a_tpu_outside_the_cloud_trains_alone(started, monkeypatch, caplog):
  def initialize(*args, **_):
    raise ConnectionError('no metadata server')

  monkeypatch.setattr(jax.distributed, 'initialize', initialize)
  hosts.initialize()
  assert 'Trains alone' in caplog.text
  assert 'no metadata server' in caplog.text
  with pytest.raises(ConnectionError):
    hosts.initialize('a:1', 2, 1)


def test_open_mpi_5_needs_an_address_and_says_so(untold, monkeypatch):
  set_all(monkeypatch, OPEN_MPI)
  with pytest.raises(ValueError, match='--coordinator must be given, too'):
    hosts.initialize()
  hosts.initialize('a:1')
  assert untold['jax'] == untold['met'] == ('a:1', 2, 1)


def test_each_process_of_open_mpi_takes_a_device(started, monkeypatch):
  set_all(monkeypatch, OPEN_MPI)
  hosts.initialize('a:1')
  assert started['local'] == [1]


def test_the_processes_of_a_slurm_job_find_each_other():
  code = """
from segjax.runtime import hosts
hosts.initialize(timeout=60)
print(hosts.index(), hosts.count(), hosts.from_first(lambda: 'told'))
"""
  slurm = dict(
      SLURM_JOB_ID='4097',
      SLURM_STEP_NODELIST='localhost,gpu11',
      SLURM_NTASKS='2',
      SLURM_LOCALID='0',
      JAX_COORDINATOR_PORT=str(free_port()),
      JAX_PLATFORMS='cpu',
  )
  processes = [
      subprocess.Popen(
          [sys.executable, '-c', code],
          env={**environment(), **slurm, 'SLURM_PROCID': str(i)},
          cwd=ROOT,
          stdout=subprocess.PIPE,
          text=True,
      )
      for i in range(2)
  ]
  said = [process.communicate(timeout=300)[0] for process in processes]
  # Gloo talks, too.
  last = [lines.splitlines()[-1] for lines in said]
  assert last == ['0 2 told', '1 2 told']


@pytest.mark.parametrize(
    ('given', 'wrong'),
    [
        (('a:1', None, None), '--num_processes and --process_id must be given'),
        ((None, 2, 0), '--coordinator must be given'),
        (('a:1', 2, 2), '--process_id=2 is not one of 0 to 1'),
    ],
)
def test_what_is_missing_or_wrong_is_named(untold, given, wrong):
  with pytest.raises(ValueError, match=wrong):
    hosts.initialize(*given)
  assert not untold


@pytest.mark.parametrize('address', ['here', 'here:', 'here:x', ':7'])
def test_an_address_without_host_or_port_is_refused(address):
  with pytest.raises(ValueError, match='is not HOST:PORT'):
    rendezvous.meet(address, 2, 0, 1)


def test_one_process_needs_nobody_to_ask():
  assert hosts.from_first(lambda x: x + 1, 2) == 3
  with pytest.raises(KeyError):
    hosts.from_first({}.__getitem__, 'missing')
