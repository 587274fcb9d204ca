"""Persistent cache of compiled XLA programs, shared by all runs of a user.

It is the folder `segjax/xla` of the user's cache folder. The key of an entry is
the computation with its shapes, the versions of JAX and XLA, the kind of device
and the features of the CPU, so machines that share a home can share the cache.
Deleting it is safe. JAX's own settings take precedence: with
JAX_COMPILATION_CACHE_DIR another folder is used, from which nothing is deleted,
and JAX_ENABLE_COMPILATION_CACHE=false disables the cache.
"""

import contextlib
import pathlib
import tempfile

from absl import logging
import jax

from segjax.runtime import user_cache

# Events that JAX records.
_COMPILED = '/jax/core/compile/backend_compile_duration'
_CACHE_HIT = '/jax/compilation_cache/cache_hits'

# Largest size of the cache; the least recently used entries are deleted first.
GIGABYTES = 5


def enable() -> None:
  """Turns the cache on for all programs that are compiled from now on.

  If the folder cannot be written, it logs a warning and leaves the cache off.
  """
  if not jax.config.jax_compilation_cache_dir:
    try:
      folder = user_cache.folder('xla')
      folder.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryFile(dir=folder):
        pass
    except (OSError, RuntimeError) as error:  # The user may have no home.
      logging.warning(
          'Compiled programs cannot be kept for the next start: %s. Choose'
          ' another folder by JAX_COMPILATION_CACHE_DIR.',
          error,
      )
      return
    prune(folder, GIGABYTES * 1e9)
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # By default JAX skips programs that compile within a second, and a start
    # has dozens of those.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


class Work:
  """Counts the programs that JAX compiles or loads from the cache.

  It counts from its construction to the end of the process, since JAX has no
  way to remove a listener.

  Attributes:
    seconds: time spent on compiling and loading.
    programs: number of programs that were compiled or loaded.
    cache_hits: number of programs that were loaded from the cache.
  """

  def __init__(self):
    self.seconds, self.programs, self.cache_hits = 0.0, 0, 0
    jax.monitoring.register_event_duration_secs_listener(self._add)
    jax.monitoring.register_event_listener(self._count_hit)

  def _add(self, event, seconds, **_):
    if event == _COMPILED:
      self.seconds += seconds
      self.programs += 1

  def _count_hit(self, event, **_):
    self.cache_hits += event == _CACHE_HIT


WORK = Work()  # Counts from the import of this module on.


def prune(folder: pathlib.Path, size: float) -> None:
  """Deletes the least recently used files until `size` bytes are left."""
  files = []
  for path in filter(pathlib.Path.is_file, folder.rglob('*')):
    # Another process may delete the file at the same time.
    with contextlib.suppress(OSError):
      stat = path.stat()
      files.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
  total = sum(size for _, size, _ in files)
  for _, freed, path in sorted(files):
    if total <= size:
      break
    with contextlib.suppress(OSError):
      path.unlink()
    total -= freed
