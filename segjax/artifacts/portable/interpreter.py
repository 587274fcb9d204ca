"""Evaluates a program equation by equation, with a rule for what each becomes.

Under `jax.make_jaxpr`, the evaluation writes a new program.
"""

from collections.abc import Callable
from collections.abc import Sequence

from jax.extend import core
import numpy as np

from segjax.artifacts.portable.values import Product
from segjax.artifacts.portable.values import as_constant


def run(
    jaxpr, constants: Sequence, arguments: Sequence, apply: Callable
) -> list:
  """Evaluates a program on constants, traced arrays and products.

  Args:
    jaxpr: the program.
    constants: its constants, arrays or keys of random numbers.
    arguments: its arguments.
    apply: from an equation and its inputs to a list of its results.
  """
  uses = {}
  for v in [*(v for e in jaxpr.eqns for v in e.invars), *jaxpr.outvars]:
    if isinstance(v, core.Var):
      uses[v] = uses.get(v, 0) + 1
  values = {}

  def read(v):
    return np.asarray(v.val) if isinstance(v, core.Literal) else values[v]

  def write(v, value):
    # What is needed twice is computed once, before it is scaled.
    if isinstance(value, Product) and uses.get(v, 0) > 1:
      value = value.value()
    values[v] = value

  for v, value in zip(jaxpr.constvars, constants, strict=True):
    write(v, as_constant(value))
  for v, value in zip(jaxpr.invars, arguments, strict=True):
    write(v, value)
  for equation in jaxpr.eqns:
    inputs = [read(v) for v in equation.invars]
    for v, value in zip(equation.outvars, apply(equation, inputs), strict=True):
      write(v, value)
  return [read(v) for v in jaxpr.outvars]


def bind(equation, inputs: Sequence) -> list:
  """Applies an equation as it is."""
  options = equation.primitive.get_bind_params(equation.params)
  result = equation.primitive.bind(*inputs, **options)
  return list(result) if equation.primitive.multiple_results else [result]


def without_unused(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
  """Returns a program without the equations that no result depends on."""
  used = {v for v in program.jaxpr.outvars if isinstance(v, core.Var)}
  equations = []
  for equation in reversed(program.jaxpr.eqns):
    if used.intersection(equation.outvars):
      equations.append(equation)
      used.update(v for v in equation.invars if isinstance(v, core.Var))
  jaxpr = program.jaxpr.replace(eqns=equations[::-1])
  return core.ClosedJaxpr(jaxpr, program.consts)
