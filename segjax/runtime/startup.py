"""What a program that predicts does before its first computation."""

from segjax.runtime import compile_cache
from segjax.runtime import gc_tuning
from segjax.runtime import malloc


def prepare() -> None:
  """Makes computations and the next start faster.

  It has to be called before threads are started, see `malloc.tune`.
  """
  malloc.tune()
  compile_cache.enable()
  gc_tuning.relax()
