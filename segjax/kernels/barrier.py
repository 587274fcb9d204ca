"""A barrier that keeps XLA for CPUs from computing an array repeatedly."""

import jax
from jax import lax


@jax.custom_vjp
def barrier(x):
  """Returns `x` and, on a CPU, keeps XLA from fusing it into its consumers.

  Without it XLA fuses an elementwise operation into every consumer and computes
  it once in each: in a chain of residual blocks, every block then recomputes
  all blocks before it. The gradient gets a barrier, too. Barriers only have an
  effect in programs that are compiled with `parallel.compiler_options`.
  launch/speed.md has what they save.

  Args:
    x: an array of any shape and type.
  """
  return lax.platform_dependent(
      x, cpu=lax.optimization_barrier, default=lambda x: x
  )


barrier.defvjp(lambda x: (barrier(x), None), lambda _, dy: (barrier(dy),))
