"""Times of several builds, taken in turns on one machine."""

import dataclasses
import statistics
import time

from segjax.benchmark.process import Worker

MOST_STEPS = 1000  # Of a turn.


@dataclasses.dataclass(frozen=True)
class Build:
  """A step that a worker has compiled, and what it said of it."""

  who: str
  worker: Worker
  facts: dict

  def run(self, steps):
    """Returns the seconds of a step, and what else the worker said."""
    answer = self.worker.ask('run', name=self.who, steps=steps)
    return answer.pop('seconds') / steps, answer


@dataclasses.dataclass
class Timing:
  """What was measured of a build."""

  seconds: list[float] = dataclasses.field(default_factory=list)  # Of a step.
  after: dict = dataclasses.field(default_factory=dict)
  # CPU time that other workers used meanwhile, as a share of the time.
  disturbed: float = 0.0

  @property
  def median(self):
    return statistics.median(self.seconds)


def alternate(builds, *, seconds, repeats):
  """Returns {who: Timing} of builds that take turns.

  What slows the machine for a while then slows all of them.

  Args:
    builds: the builds.
    seconds: to spend on each, over all repeats; a step at least is run.
    repeats: turns of each.
  """
  steps, timings = {}, {}
  for build in builds:
    once, _ = build.run(1)
    wanted = round(seconds / repeats / max(once, 1e-9))
    steps[build.who] = min(max(wanted, 1), MOST_STEPS)
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


def _cpu_seconds(workers):
  return sum(worker.cpu_seconds() or 0.0 for worker in workers)
