"""A conditional that branches on CPUs and selects on accelerators."""

import functools

import jax
from jax import lax


def cond(condition, yes, no, *args):
  """Returns `yes(*args)` if the condition is true, else `no(*args)`.

  A CPU computes only the result it needs and may write it in place of the
  arguments. Computing both and selecting one would copy the arguments that both
  read; launch/speed.md has what that costs. On other platforms both are
  computed and one is selected, since a GPU that branches waits until its host
  knows the condition.

  Args:
    condition: a boolean scalar.
    yes: a function of `args`.
    no: a function of `args` that returns the same tree, shapes and types.
    *args: trees of arrays.
  """

  def select(condition, *args):
    select_array = functools.partial(lax.select, condition)
    return jax.tree.map(select_array, yes(*args), no(*args))

  def branch(condition, *args):
    return lax.cond(condition, yes, no, *args)

  return lax.platform_dependent(condition, *args, cpu=branch, default=select)
