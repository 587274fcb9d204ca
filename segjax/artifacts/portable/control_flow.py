"""Puts calls, decided branches and short loops of a program in line."""

from collections.abc import Callable
from collections.abc import Sequence

import jax
from jax import lax
from jax.extend import core
import numpy as np

from segjax.artifacts.portable.interpreter import bind
from segjax.artifacts.portable.interpreter import run
from segjax.artifacts.portable.joining import stacked
from segjax.artifacts.portable.values import computed
from segjax.artifacts.portable.values import is_constant

# Primitives that are calls of a program, and the name of that program.
CALLS = {
    'jit': 'jaxpr',
    'closed_call': 'call_jaxpr',
    'core_call': 'call_jaxpr',
    'custom_jvp_call': 'call_jaxpr',
    'custom_vjp_call': 'call_jaxpr',
    'remat2': 'jaxpr',
    'checkpoint': 'jaxpr',
}
UNROLLED = 64  # Steps of the longest loop that is written out.


def in_line(equation, inputs: Sequence, apply: Callable) -> list | None:
  """Returns the results of a call, branch or loop, from the equations in it.

  Args:
    equation: of any kind.
    inputs: of the equation.
    apply: from an equation and its inputs to a list of its results.

  Returns:
    The results; None if the equation is nothing of the kind, if its branch is
    not known yet, or if its loop is a long one.
  """
  name, options = equation.primitive.name, equation.params
  if name in CALLS:
    return _called(options[CALLS[name]], inputs, apply)
  if name == 'platform_index':
    platforms = options['platforms']
    default = platforms.index(None) if None in platforms else -1
    return [np.int32(default % len(platforms))]
  if name == 'cond' and is_constant(inputs[0]):
    branches = options['branches']
    index = int(np.clip(inputs[0], 0, len(branches) - 1))
    return _called(branches[index], inputs[1:], apply)
  if name == 'scan' and options['length'] <= UNROLLED:
    return _unrolled(options, inputs, apply)
  return None


def without_calls(equation, inputs: Sequence) -> list:
  """Returns the results of an equation; what it calls is put in line."""
  name = equation.primitive.name
  if name not in CALLS:
    return bind(equation, inputs)
  return _called(equation.params[CALLS[name]], inputs, without_calls)


def _called(program, inputs, apply):
  """Returns the results of a program inside another."""
  if isinstance(program, core.ClosedJaxpr):
    return run(program.jaxpr, program.consts, inputs, apply)
  return run(program, (), inputs, apply)


def _unrolled(options, inputs, apply):
  """Returns the results of a loop of known length, step by step."""
  length, num_carried = options['length'], options['num_carry']
  inputs = list(map(computed, inputs))
  constants = inputs[: options['num_consts']]
  carried = inputs[len(constants) : len(constants) + num_carried]
  series = inputs[len(constants) + num_carried :]
  steps = range(length)
  rows = [None] * length
  for i in reversed(steps) if options['reverse'] else steps:
    now = [_at(x, i) for x in series]
    outputs = _called(options['jaxpr'], [*constants, *carried, *now], apply)
    outputs = list(map(computed, outputs))
    carried, rows[i] = outputs[:num_carried], outputs[num_carried:]
  columns = [
      np.stack(column) if all(map(is_constant, column)) else stacked(column, 0)
      for column in zip(*rows, strict=True)
  ]
  return [*carried, *columns]


def _at(x, i):
  """Returns an entry of a series: of a constant, a constant."""
  if not is_constant(x):
    return lax.index_in_dim(x, i, keepdims=False)
  with jax.ensure_compile_time_eval():
    return x[i]
