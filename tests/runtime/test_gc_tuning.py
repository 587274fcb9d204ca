import subprocess
import sys

COLLECTIONS = """
import gc
from segjax.runtime import gc_tuning
def collections():
  before = gc.get_stats()[0]['collections']
  kept = [[] for _ in range(100_000)]
  return gc.get_stats()[0]['collections'] - before
before = collections()
gc_tuning.relax()
print(before, collections(), gc.isenabled())
"""


def test_garbage_is_looked_for_less_often_but_is():
  output = subprocess.check_output([sys.executable, '-c', COLLECTIONS])
  before, after, enabled = output.decode().split()
  assert 0 < int(after) < int(before) / 3
  assert enabled == 'True'
