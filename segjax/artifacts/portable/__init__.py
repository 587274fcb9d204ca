"""Rewrites a function for runtimes that know less than XLA.

`rewrite` traces a function of images and writes it down again with what other
runtimes have: what depends on weights alone is computed, calls and branches are
put in line, norms go into the convolutions before them, transposed convolutions
become ordinary ones, and layouts are [B, H, W, C]. The results are equal up to
the rounding of floats.

A program is evaluated equation by equation (`interpreter`) on constants, traced
arrays and products that may yet be scaled (`values`). What replaces each
primitive stands in `rules`.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from segjax.artifacts.portable import control_flow
from segjax.artifacts.portable import interpreter
from segjax.artifacts.portable import padding
from segjax.artifacts.portable import rules
from segjax.artifacts.portable import values


def rewrite(
    function: Callable, *shapes: jax.ShapeDtypeStruct, finite: bool = False
) -> tuple[core.ClosedJaxpr, Any]:
  """Traces a function and rewrites its program.

  Args:
    function: of arrays; the weights that it closes over become constants.
    *shapes: of its arguments.
    finite: whether maxima are taken over repeated border pixels instead of
      infinite padding, for which 8-bit integers have no number.

  Returns:
    The program, which `jax.extend.core.jaxpr_as_fun` calls, and the tree of its
    results with their shapes.
  """
  program, results = jax.make_jaxpr(function, return_shape=True)(*shapes)
  # The rules call functions of jax.numpy, and some of those are calls again.
  program = _rewritten(program, shapes, rules.apply)
  program = _rewritten(program, shapes, control_flow.without_calls)
  if finite:
    program = _rewritten(program, shapes, padding.without_infinity)
  return interpreter.without_unused(program), results


def count(program: core.ClosedJaxpr) -> dict[str, int]:
  """Returns how often each primitive stands in a program."""
  counts: dict[str, int] = {}
  for equation in program.jaxpr.eqns:
    name = equation.primitive.name
    counts[name] = counts.get(name, 0) + 1
  return counts


def _rewritten(program, shapes, apply):
  """Returns a program with what `apply` makes of its equations."""

  def function(*arguments):
    outputs = interpreter.run(program.jaxpr, program.consts, arguments, apply)
    return [values.computed(x) for x in outputs]

  return jax.make_jaxpr(function)(*shapes)
