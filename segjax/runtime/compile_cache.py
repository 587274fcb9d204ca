"""What XLA has compiled is kept, so that the next start begins sooner.

It lies in `segjax` of the user's cache folder, for all runs and programs of the
user: the key of an entry is the computation with its shapes, the versions of
JAX and XLA, the kind of device and the features of the CPU, so machines that
share a home may share it, too. Deleting it is safe. JAX's own settings come
first: JAX_COMPILATION_CACHE_DIR names another folder, from which nothing is
deleted, and with JAX_ENABLE_COMPILATION_CACHE=false nothing is kept.
"""

import contextlib
import gc
import os
import pathlib
import tempfile

from absl import logging
import jax

_COMPILED = '/jax/core/compile/backend_compile_duration'
_FOUND = '/jax/compilation_cache/cache_hits'

GIGABYTES = 5  # At most; what was not used for longest goes first.


def enable():
  """Has what is compiled from now on kept, and looked for before compiling.

  A folder that cannot be written is told, and nothing is kept.
  """
  if not jax.config.jax_compilation_cache_dir:
    try:
      folder = user_folder()
      folder.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryFile(dir=folder):
        pass
    except (OSError, RuntimeError) as error:  # There may be no home.
      logging.warning(
          'What is compiled cannot be kept for the next start: %s. Choose'
          ' another folder by JAX_COMPILATION_CACHE_DIR.',
          error,
      )
      return
    prune(folder, GIGABYTES * 1e9)
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # JAX leaves out what compiles in a second; a start has dozens of those.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


def relax_gc():
  """Has Python look for cycles that are garbage less often.

  To trace a step makes objects by the million, nearly all of which stay, and
  Python 3.11 would go through the youngest for every 700 that are new. A
  training step of DeepLabv3 was traced and lowered in 3.3 s so, not in 4.1.
  """
  gc.set_threshold(10_000, 10, 10)


class Work:
  """What compiling has taken since this was made; it listens for good.

  Attributes:
    seconds: of compiling, or of loading what was kept.
    programs: how many were needed.
    found: how many of these were kept by an earlier start.
  """

  def __init__(self):
    self.seconds, self.programs, self.found = 0.0, 0, 0
    jax.monitoring.register_event_duration_secs_listener(self._add)
    jax.monitoring.register_event_listener(self._find)

  def _add(self, event, seconds, **_):
    if event == _COMPILED:
      self.seconds += seconds
      self.programs += 1

  def _find(self, event, **_):
    self.found += event == _FOUND


WORK = Work()  # Of this process.


def user_folder():
  """Returns the folder in which programs of this user are kept."""
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(cache) / 'segjax' / 'xla'


def prune(folder, size):
  """Deletes files, those not used for longest first, down to `size` bytes."""
  found = []
  for path in filter(pathlib.Path.is_file, folder.rglob('*')):
    with contextlib.suppress(OSError):  # Another process may do the same.
      stat = path.stat()
      found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
  total = sum(size for _, size, _ in found)
  for _, freed, path in sorted(found):
    if total <= size:
      break
    with contextlib.suppress(OSError):
      path.unlink()
    total -= freed
