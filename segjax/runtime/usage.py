"""What the process of a run holds: to see that nothing grows."""

import psutil

from segjax.runtime import compile_cache


def measures():
  """Returns by name what the process holds, and how often it compiled.

  A program that comes out of a persistent cache counts as compiled, too: it was
  traced and lowered again, which a run should not do once it is warm.
  """
  process = psutil.Process()
  with process.oneshot():
    return {
        'host/memory_GB': process.memory_info().rss / 1e9,
        'host/open_files': process.num_fds(),
        'host/threads': process.num_threads(),
        'host/compilations': compile_cache.WORK.programs,
    }
