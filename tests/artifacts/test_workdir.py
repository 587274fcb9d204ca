import contextlib
import json
import math
import os
import resource

import jax
import pytest

from segjax import train
from segjax.artifacts import workdir as workdirs
from segjax.artifacts.checkpoint import Checkpoints
from segjax.artifacts.summaries import JsonLinesWriter
from segjax.artifacts.workdir import Workdir
from segjax.data.datasets.shapes import LABEL_MAP
from segjax.data.values import Values
from tests import tiny


@pytest.fixture
def workdir(tmp_path):
  workdir = Workdir(tmp_path / 'run')
  workdir.make()
  return workdir


@contextlib.contextmanager
def full_disk(size):
  """No file can grow beyond `size` bytes."""
  # Nor is half a compiled program kept for other tests.
  seconds = 'jax_persistent_cache_min_compile_time_secs'
  least = getattr(jax.config, seconds)
  jax.config.update(seconds, math.inf)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    jax.config.update(seconds, least)


def test_the_config_comes_back_as_it_was(workdir):
  config = tiny.get_config()
  config.optim.factors = (('classifier', 10.0), ('aux', 2.0))
  workdir.claim(config)
  assert workdir.read_config() == config


@pytest.fixture
def begun(workdir):
  """The workdir of a run that has saved a checkpoint."""
  workdir.claim(tiny.get_config())
  (workdir.checkpoints / '3').mkdir(parents=True)
  return workdir


def test_the_same_config_may_go_on(begun):
  before = begun.config.read_text()
  begun.claim(tiny.get_config())
  assert begun.config.read_text() == before


def test_another_config_is_refused_with_what_differs(begun):
  other = tiny.get_config()
  other.lr.base = 0.25
  other.model.rates = (1, 2, 3)
  other.new = 'x'
  other.empty = {}
  with pytest.raises(ValueError, match='of another config') as error:
    begun.claim(other)
  assert str(begun.path) in str(error.value)
  assert str(error.value).splitlines()[1:] == [
      "  empty: 'absent' there, {} now",
      '  lr.base: 0.02 there, 0.25 now',
      '  model.rates: (1, 2) there, (1, 2, 3) now',
      "  new: 'absent' there, 'x' now",
  ]
  assert begun.read_config() == tiny.get_config()


@pytest.mark.parametrize('name', ['run[lr=0.1]', 'a*b', 'a\\b'])
def test_another_config_is_refused_in_a_folder_of_any_name(tmp_path, name):
  config, workdir = tiny.get_config(), Workdir(tmp_path / name)
  workdir.make()
  workdir.claim(config)
  (workdir.checkpoints / '3').mkdir(parents=True)
  config.seed = 7
  with pytest.raises(ValueError, match='seed: 0 there, 7 now'):
    workdir.claim(config)


def test_a_name_that_a_library_cannot_write_to_is_refused(tmp_path):
  with pytest.raises(ValueError, match='is no UTF-8: choose another'):
    Workdir(tmp_path / os.fsdecode(b'r\xfcn')).make()
  with pytest.raises(ValueError, match='in a bucket, where .* are patterns'):
    Workdir('gs://bucket/run[1]').make()
  assert not list(tmp_path.iterdir())


def test_where_a_run_goes_on_may_differ(begun):
  other = tiny.get_config()
  other.update(data_dir='/elsewhere', threads=7, decoded_gb=0.0, profile=True)
  other.update(parallel='jit', mesh=(2, 4), shard_state=True, remat=True)
  begun.claim(other)


def test_until_the_first_checkpoint_the_config_may_change(workdir):
  workdir.claim(tiny.get_config())
  workdir.metrics.write_text('{"step": 1}\n')
  other = tiny.get_config()
  other.lr.base = 0.25
  workdir.claim(other)
  assert workdir.read_config() == other
  assert not workdir.metrics.exists()


def test_other_versions_are_told(begun, caplog):
  versions = json.loads(begun.versions.read_text())
  assert set(versions) == {'python', *workdirs.PACKAGES}
  begun.versions.write_text(json.dumps(versions | {'jax': '0.1'}))
  begun.claim(tiny.get_config())
  assert f'jax is {versions["jax"]} now; this run began with 0.1' in caplog.text


def test_a_second_run_in_a_workdir_is_refused_while_the_first_runs(workdir):
  other = Workdir(workdir.path)
  with (
      workdir.locked(),
      pytest.raises(ValueError, match='Another run') as error,
      other.locked(),
  ):
    pass
  assert f'process {os.getpid()}' in str(error.value)
  assert str(workdir.path) in str(error.value)
  with other.locked():
    pass


def test_the_second_run_changes_nothing(workdir):
  with workdir.locked(), pytest.raises(ValueError, match='Another run'):
    train.run(tiny.get_config(), workdir)
  left = {path.name for path in workdir.path.iterdir()}
  assert left == {'.lock', '.lock-holder'}


def test_a_folder_that_is_no_workdir_says_what_to_do(tmp_path):
  with pytest.raises(FileNotFoundError, match='is no workdir.*Train first'):
    Workdir(tmp_path).read_config()


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / 'file').write_text('in the way')
  path = tmp_path / 'file' / 'run'
  with pytest.raises(OSError, match=f'{path} cannot be written.*--workdir'):
    train.run(tiny.get_config(), Workdir(path))


def test_a_workdir_on_a_full_disk_is_named(workdir):
  with (
      full_disk(1),
      pytest.raises(OSError, match=f'{workdir.path} cannot be .*free its disk'),
  ):
    workdir.make()


def test_prediction_learns_which_classes_are_things(workdir):
  workdir.write_labels(LABEL_MAP, 3)
  label_map, channels = workdir.read_labels()
  assert label_map.things == LABEL_MAP.things != ()
  assert channels == 3
  old = json.loads(workdir.labels.read_text())
  del old['things']
  workdir.labels.write_text(json.dumps(old))
  assert workdir.read_labels()[0].things == ()


def test_a_json_file_is_written_whole_or_not_at_all(workdir):
  workdir.write_labels(LABEL_MAP, 3)
  before = workdir.labels.read_text()
  with full_disk(10), pytest.raises(OSError, match='File too large'):
    workdir.write_labels(LABEL_MAP, 4)
  assert workdir.labels.read_text() == before


def test_summaries_that_cannot_be_written_are_named(workdir):
  writer = JsonLinesWriter(workdir.metrics)
  with full_disk(10), pytest.raises(OSError, match='metrics.jsonl'):
    writer.write_scalars(1, {'train/loss': 0.5})


def test_a_line_that_was_cut_is_written_again(workdir):
  JsonLinesWriter(workdir.metrics).write_scalars(1, {'train/loss': 0.5})
  size = workdir.metrics.stat().length
  JsonLinesWriter(workdir.metrics).write_scalars(2, {'train/loss': 0.25})
  os.truncate(workdir.metrics, size + 20)
  JsonLinesWriter(workdir.metrics).write_scalars(2, {'train/loss': 0.25})
  losses = {k: v['train/loss'] for k, v in tiny.read_metrics(workdir).items()}
  assert losses == {1: 0.5, 2: 0.25}


# Orbax closes the event loop of a save whose first file fails, while threads
# that write the others still report to it.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_run_on_a_disk_that_fills_up_stops_and_goes_on_later(workdir):
  config = tiny.get_config()
  with (
      full_disk(100_000),
      pytest.raises(OSError, match='checkpoint could not be written to'),
  ):
    train.run(config, workdir)
  train.run(config, workdir)
  assert Checkpoints(workdir.checkpoints).steps()[-1] == config.total_steps


def test_type_and_range_of_the_images_are_kept(workdir):
  known = Values(('uint16',), 12.0, 4095.0)
  workdir.write_labels(LABEL_MAP, 3, known)
  assert workdir.read_values() == known
  assert workdir.read_labels() == (workdir.read_labels()[0], 3)


def test_what_is_not_known_of_the_images_is_none(workdir):
  workdir.write_labels(LABEL_MAP, 3)
  assert workdir.read_values() is None
  labels = json.loads(workdir.labels.read_text())
  del labels['values']  # As a run of an older version has left it.
  workdir.labels.write_text(json.dumps(labels))
  assert workdir.read_values() is None
