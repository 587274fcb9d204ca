"""Timing of several builds in turns on one machine."""

import dataclasses
import statistics
import time

from segjax.benchmark.process import Worker

MOST_STEPS = 1000  # Largest number of steps of a turn.


@dataclasses.dataclass(frozen=True)
class Build:
  """A step that a worker has compiled.

  Attributes:
    who: name of the build.
    worker: the worker that has it.
    facts: the answer of the worker to 'build'.
  """

  who: str
  worker: Worker
  facts: dict

  def run(self, steps):
    """Returns the mean seconds of a step, and the rest of the answer."""
    answer = self.worker.ask('run', name=self.who, steps=steps)
    return answer.pop('seconds') / steps, answer


@dataclasses.dataclass
class Timing:
  """Measurements of a build.

  Attributes:
    seconds: mean time of a step, for each turn.
    after: other values that the worker reported after the last turn.
    disturbed: largest CPU use of the other workers during a turn, in cores.
  """

  seconds: list[float] = dataclasses.field(default_factory=list)
  after: dict = dataclasses.field(default_factory=dict)
  disturbed: float = 0.0

  @property
  def median(self):
    return statistics.median(self.seconds)


def alternate(builds, *, seconds, repeats):
  """Times builds in turns, so that a slow phase of the machine hits all.

  Args:
    builds: the builds.
    seconds: time to spend on each build, over all turns.
    repeats: number of turns, each of at least one step.

  Returns:
    {name of the build: Timing}.
  """
  steps, timings = {}, {}
  for build in builds:
    once, _ = build.run(1)
    affordable = round(seconds / repeats / max(once, 1e-9))
    steps[build.who] = min(max(affordable, 1), MOST_STEPS)
    timings[build.who] = Timing()
  workers = {id(build.worker): build.worker for build in builds}.values()
  for _ in range(repeats):
    for build in builds:
      others = [w for w in workers if w is not build.worker]
      before, start = _cpu_seconds(others), time.perf_counter()
      step, after = build.run(steps[build.who])
      spent = time.perf_counter() - start
      timing = timings[build.who]
      timing.seconds.append(step)
      timing.after = after
      share = (_cpu_seconds(others) - before) / spent
      timing.disturbed = max(timing.disturbed, share)
  return timings


def single_steps(builds, *, seconds, fewest):
  """Times single steps of builds in turns.

  Args:
    builds: the builds.
    seconds: time to spend on each build.
    fewest: number of steps of each build, at least.

  Returns:
    {name of the build: [seconds of a step, ...]}.
  """
  times = {build.who: [] for build in builds}
  for build in builds:
    build.run(1)
  # In time, the slowest build decides for all: each takes the same turns.
  while len(builds) and (
      len(times[builds[0].who]) < fewest
      or max(map(sum, times.values())) < seconds
  ):
    for build in builds:
      step, _ = build.run(1)
      times[build.who].append(step)
  return times


def _cpu_seconds(workers):
  return sum(worker.cpu_seconds() or 0.0 for worker in workers)
