"""Resource usage of a run's process, logged so that leaks show."""

import psutil

from segjax.runtime import compile_cache


def measures() -> dict[str, float]:
  """Returns CPU time, memory, open files, threads and compilations so far.

  A program that is loaded from the compilation cache counts as compiled: it was
  traced and lowered again, which should not happen after the first steps.
  """
  process = psutil.Process()
  with process.oneshot():
    return {
        'host/cpu_minutes': sum(process.cpu_times()[:2]) / 60,
        'host/memory_GB': process.memory_info().rss / 1e9,
        'host/open_files': process.num_fds(),
        'host/threads': process.num_threads(),
        'host/compilations': compile_cache.WORK.programs,
    }
