import sys

import pytest

from segjax.benchmark import measure
from segjax.benchmark.process import MissingError
from segjax.benchmark.process import Worker
from segjax.benchmark.process import WorkerError

FAKE = 'tests.benchmark.fake_worker'


@pytest.fixture(scope='module')
def worker():
  with Worker(sys.executable, FAKE) as started:
    yield started


def test_a_worker_answers_though_libraries_print(worker):
  assert worker.ask('hello') == {'platform': 'none', 'versions': {}}


def test_what_a_worker_cannot_do_is_told_and_it_goes_on(worker):
  with pytest.raises(WorkerError, match='there is no such net'):
    worker.ask('build', name='a', net='unknown')
  with pytest.raises(WorkerError, match="KeyError: 'int4'"):
    worker.ask('peak', dtype='int4')
  assert worker.ask('peak', dtype='float32') == {'flops_per_second': 1e9}


def test_a_worker_that_dies_is_quoted():
  with Worker(sys.executable, FAKE) as worker:
    with pytest.raises(WorkerError, match='code 3(.|\n)*the last words'):
      worker.ask('die')
    with pytest.raises(WorkerError, match='code 3'):
      worker.ask('hello')


def test_a_missing_package_is_told_from_a_failure():
  with Worker(sys.executable, FAKE, {'LACKING': '1'}) as worker:
    for _ in range(2):
      with pytest.raises(MissingError, match='no_such_package'):
        worker.ask('hello')


def test_builds_take_turns_and_steps_fit_the_time(worker):
  calls = []

  class Recorded(measure.Build):

    def run(self, steps):
      calls.append((self.who, steps))
      return super().run(steps)

  builds = [Recorded(who, worker, {}) for who in ('slow', 'fast')]
  timings = measure.alternate(builds, seconds=8.0, repeats=2)
  once = [('slow', 1), ('fast', 1)]
  assert calls == once + 2 * [('slow', 8), ('fast', 16)]
  assert timings['slow'].seconds == [0.5, 0.5]
  assert timings['fast'].median == 0.25
  assert timings['fast'].after == {'peak_bytes': 8}


def test_a_step_longer_than_the_time_runs_once_a_turn(worker):
  calls = []

  class Recorded(measure.Build):

    def run(self, steps):
      calls.append(steps)
      return super().run(steps)

  measure.alternate([Recorded('slow', worker, {})], seconds=0.1, repeats=3)
  assert calls == [1, 1, 1, 1]
