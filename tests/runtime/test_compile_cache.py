import os
import subprocess
import sys

import pytest

from segjax.runtime import compile_cache

PROGRAM = """
import jax
from segjax.runtime import compile_cache
jax.config.update('jax_platforms', 'cpu')
compile_cache.enable()
jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((3, 3))).block_until_ready()
work = compile_cache.WORK
print(work.programs, work.cache_hits, work.programs > 0 and work.seconds > 0)
"""


def start(home, **variables):
  """Runs `PROGRAM` in a home; returns its numbers and its complaints."""
  environment = {k: v for k, v in os.environ.items() if 'CACHE' not in k}
  done = subprocess.run(
      [sys.executable, '-c', PROGRAM],
      env=environment | {'HOME': str(home)} | variables,
      capture_output=True,
      text=True,
      check=True,
  )
  programs, found, timed = done.stdout.split()
  assert timed == 'True'
  return int(programs), int(found), done.stderr


def test_a_second_start_finds_what_the_first_has_compiled(tmp_path):
  programs, found, _ = start(tmp_path)
  kept = sorted(path.name for path in compilation_folder(tmp_path).iterdir())
  assert found == 0
  assert start(tmp_path)[:2] == (programs, programs)
  # Machines that share a home may have other CPUs.
  assert start(tmp_path, XLA_FLAGS='--xla_cpu_max_isa=SSE4_2')[1] == 0
  assert set(kept) < {p.name for p in compilation_folder(tmp_path).iterdir()}


def test_half_a_file_does_no_harm(tmp_path):
  start(tmp_path)
  for path in compilation_folder(tmp_path).iterdir():
    os.truncate(path, path.stat().st_size // 2)
  assert start(tmp_path)[1] == 0


def compilation_folder(home):
  return home / '.cache' / 'segjax' / 'xla'


def test_settings_of_jax_come_first(tmp_path):
  start(tmp_path, JAX_ENABLE_COMPILATION_CACHE='false')
  start(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / 'other'))
  assert not any(compilation_folder(tmp_path).glob('*'))


def test_a_folder_that_cannot_be_written_is_told_and_does_no_harm(tmp_path):
  (tmp_path / '.cache').write_text('')  # No folder.
  _, found, complaint = start(tmp_path)
  assert found == 0
  assert 'Compiled programs cannot be kept' in complaint
  assert str(tmp_path / '.cache') in complaint


@pytest.mark.parametrize(('size', 'left'), [(300, 'abc'), (250, 'ac'), (0, '')])
def test_what_was_not_used_for_longest_goes_first(tmp_path, size, left):
  for name, read, written in (('a', 9, 1), ('b', 3, 2), ('c', 1, 4)):
    (tmp_path / name).write_bytes(bytes(100))
    os.utime(tmp_path / name, (read, written))
  compile_cache.prune(tmp_path, size)
  assert ''.join(sorted(p.name for p in tmp_path.iterdir())) == left
