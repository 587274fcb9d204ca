import pathlib
import subprocess
import sys

import pytest

# A large array again and again; tells whether the heap is kept, and the faults.
PROGRAM = """
import resource, sys
import numpy as np
from segjax.runtime import malloc
kept = malloc.tune() if sys.argv[1] == 'keep' else False
size = int(sys.argv[2])
def faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  np.empty(size, np.uint8)[::4096] = 1
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(word, size):
  command = [sys.executable, '-c', PROGRAM, word, str(size)]
  kept, faults = subprocess.check_output(command, text=True).split()
  return kept == 'True', int(faults)


# The second is more than the 2 GiB that an int can say.
@pytest.mark.parametrize('size', [50_000_000, 2_500_000_000])
def test_pages_of_what_was_freed_are_not_asked_for_again(size):
  kept, faults = run('keep', size)
  if not kept:  # No glibc.
    assert sys.platform != 'linux'
    return
  _, before = run('leave', size)
  assert faults < before / 10


LEFT = """
import psutil
import numpy as np
from segjax.runtime import malloc
kept = malloc.tune()
pieces = [np.ones(8192, np.uint8) for _ in range(20_000)]
del pieces[::2]
before = psutil.Process().memory_info().rss
malloc.trim()
print(kept, before - psutil.Process().memory_info().rss)
"""


def test_what_is_free_between_pieces_in_use_is_given_back():
  output = subprocess.check_output([sys.executable, '-c', LEFT], text=True)
  kept, bytes_given = output.split()
  assert kept == 'False' or int(bytes_given) > 20_000_000


LARGE = """
import re
from segjax.runtime import malloc
kept = malloc.tune()
def large():
  if not kept:
    return 0
  pages = bytearray(40 << 20)  # NumPy asks for large pages itself.
  with open('/proc/self/smaps_rollup') as file:
    return int(re.search(r'AnonHugePages: *(\\d+)', file.read())[1]) >> 10
first = large()
malloc.trim()
print(kept, first, large())
"""


def test_pages_are_large_where_linux_has_them_also_after_giving_back():
  switch = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')
  output = subprocess.check_output([sys.executable, '-c', LARGE], text=True)
  kept, *megabytes = output.split()
  if kept == 'True' and switch.exists() and '[never]' not in switch.read_text():
    assert min(map(int, megabytes)) > 20


LIMITED = """
import resource
from segjax.runtime import malloc
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
print(malloc.tune(), len(bytearray(100_000_000)))
"""


def test_a_limit_on_addresses_is_no_obstacle():
  output = subprocess.check_output([sys.executable, '-c', LIMITED], text=True)
  assert output.split()[1] == '100000000'


HEAPS = """
import ctypes, sys, threading
from segjax.runtime import malloc
kept = malloc.tune()
import jax
jax.devices()  # Starts threads.
together = threading.Barrier(8)
def allocate():
  pieces = [bytearray(100_000) for _ in range(10)]
  together.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
  thread.start()
for thread in threads:
  thread.join()
if kept:
  libc = ctypes.CDLL(None)
  libc.fopen.restype = ctypes.c_void_p
  file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b'w'))
  libc.malloc_info(0, file)
  libc.fclose(file)
print(kept)
"""


def test_threads_allocate_from_one_heap(tmp_path):
  path = tmp_path / 'heaps.xml'
  command = [sys.executable, '-c', HEAPS, path]
  if subprocess.check_output(command, text=True).strip() == 'True':
    assert path.read_text().count('<heap nr=') == 1


ORDER = """
from absl import app
from segjax.runtime import malloc, hosts
malloc.tune = lambda: print('keep')
def initialize(*_):
  print('threads')
  raise ValueError('That is far enough.')
hosts.initialize = initialize
from segjax import main
app.run(main.main, ['main', '--config=tests/tiny.py', '--workdir=unused'])
"""


def test_training_keeps_the_heap_before_it_starts_threads():
  command = [sys.executable, '-c', ORDER]
  ended = subprocess.run(command, capture_output=True, text=True)
  assert ended.stdout.split() == ['keep', 'threads'], ended.stderr
