"""Settings of Python's cyclic garbage collector for programs that trace."""

import gc


def relax() -> None:
  """Makes the collector run less often.

  Tracing a step creates millions of objects, nearly all of which stay, and by
  default Python 3.11 scans the youngest after every 700 new ones. The time that
  this saves is in launch/speed.md.
  """
  gc.set_threshold(10_000, 10, 10)
