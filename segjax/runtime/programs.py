"""Compiled functions of many shapes, of which a bounded number is kept.

`jax.jit` keeps a program for each shape that a function has met, for as long as
the function lives. Images come in hundreds of sizes, and a program of a network
takes megabytes.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax

# Programs of a function that are kept; a few sizes are frequent in most sets.
COUNT = 16


class Bounded:
  """A function that compiles anew for each shape, and forgets old programs.

  The programs that were not used for longest are dropped first.
  """

  def __init__(self, make: Callable[[], Callable], count: int = COUNT):
    """Initialises.

    Args:
      make: returns a new compiled function. What is dropped is free once nobody
        refers to it, so it must wrap a function object of its own.
      count: number of shapes to keep programs of.
    """
    self._make, self._count = make, count
    self._programs = {}

  def __call__(self, *args) -> Any:
    leaves, structure = jax.tree.flatten(args)
    key = structure, tuple(map(_about, leaves))
    program = self._programs.pop(key, None) or self._make()
    self._programs[key] = program  # The newest is the last.
    while len(self._programs) > self._count:
      del self._programs[next(iter(self._programs))]
    return program(*args)

  def __len__(self) -> int:
    return len(self._programs)


def _about(leaf):
  """Returns what a program depends on: shape and type, of numbers the type."""
  shape = getattr(leaf, 'shape', None)
  return type(leaf) if shape is None else (shape, leaf.dtype)


def bounded_jit(function: Callable | None = None, **options) -> Callable:
  """Returns a function as `jax.jit` does, with a bounded number of programs.

  Args:
    function: of arrays, given by position. By default a decorator is returned.
    **options: options of `jax.jit`.
  """
  if function is None:
    return functools.partial(bounded_jit, **options)

  def make():
    # A new object: JAX keeps what it traces for as long as the function lives.
    return jax.jit(lambda *args: function(*args), **options)

  return functools.update_wrapper(Bounded(make), function)
