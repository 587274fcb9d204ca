import subprocess
import sys

# A large array again and again; tells whether the heap is kept, and the faults.
PROGRAM = """
import resource, sys
import numpy as np
from segjax import heap
kept = heap.keep() if sys.argv[1] == 'keep' else False
def faults():
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  np.ones(50_000_000, np.uint8)
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(word):
  command = [sys.executable, '-c', PROGRAM, word]
  kept, faults = subprocess.check_output(command, text=True).split()
  return kept == 'True', int(faults)


def test_pages_of_what_was_freed_are_not_asked_for_again():
  kept, faults = run('keep')
  if not kept:  # No glibc.
    assert sys.platform != 'linux'
    return
  _, before = run('leave')
  assert faults < before / 10
