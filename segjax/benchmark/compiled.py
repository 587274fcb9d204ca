"""Compilation of JAX steps ahead of time, with FLOPs and memory."""

import time

import jax
from jax.interpreters import partial_eval
import jax.numpy as jnp
import numpy as np

from segjax.benchmark import matmul
from segjax.benchmark import products
from segjax.benchmark import protocol


class CompiledWorker(protocol.Timed):
  """Base class of the workers that run on JAX.

  Attributes:
    programs: {name of a build: (compiled step, its first state)}.
  """

  def __init__(self):
    super().__init__()
    self.programs = {}

  def compile(self, name, step, state, batch):
    """Compiles a step, runs it once and stores it as a build.

    Args:
      name: name of the build.
      step: jitted function; `step(state, batch)` returns an array, or a tuple
        of the next state and other values.
      state: tree of arrays.
      batch: tree of arrays.

    Returns:
      A dictionary of its FLOPs, the seconds to lower and to compile it, and its
      bytes of memory on a device.
    """
    start = time.perf_counter()
    lowered = step.lower(state, batch)
    lowering = time.perf_counter() - start
    compiled = lowered.compile()
    compiling = time.perf_counter() - start - lowering
    counted = flops(lowered, step, state, batch)
    current = [state]

    def run(steps):
      for _ in range(steps):
        out = compiled(current[0], batch)
        if isinstance(out, tuple):
          current[0], out = out
      jax.block_until_ready((current, out))

    run(1)
    self.builds[name] = run
    self.programs[name] = compiled, state
    return {
        'flops': counted,
        'lower_seconds': lowering,
        'compile_seconds': compiling,
        'memory': memory(compiled),
    }

  def drop(self, name):
    """Removes a build and its program."""
    self.programs.pop(name, None)
    return super().drop(name)

  def after(self, name):
    """Returns the peak memory of the device, where JAX reports it."""
    stats = jax.devices()[0].memory_stats() or {}
    return {'peak_bytes': stats.get('peak_bytes_in_use')}

  def peak(self, dtype):
    """Returns the highest rate of a large matrix product."""

    def product(side):
      a = jax.random.normal(jax.random.key(0), (side, side), dtype)
      multiply = jax.jit(jnp.matmul)
      return lambda: multiply(a, a).block_until_ready()

    return {'flops_per_second': matmul.fastest(product)}

  def profile(self, name, steps, folder):
    """Writes a profiler trace of some steps to a folder."""
    with jax.profiler.trace(folder):
      self.builds[name](steps)
    return {}


def about(*modules):
  """Returns a description of the devices and the versions of modules."""
  device = jax.devices()[0]
  return {
      'platform': device.platform,
      'device': device.device_kind,
      'devices': jax.device_count(),
      'versions': {m.__name__: m.__version__ for m in (jax, np, *modules)},
  }


def random_batch(batch, size, classes):
  """Returns a batch of noise, NumPy arrays."""
  rng = np.random.default_rng(0)
  return {
      'image': rng.standard_normal((batch, *size, 3), np.float32),
      'label': rng.integers(0, classes, (batch, *size), np.uint8),
  }


def flops(lowered, step, *args):
  """Returns the FLOPs of a step.

  They are the count of XLA for the program before it is optimised. Some
  platforms only count compiled programs, in which kernels of the vendor have no
  FLOPs. There the convolutions and matrix products count, see `products`.
  """
  costs = lowered.cost_analysis()
  if costs and costs.get('flops', 0) > 0:
    return costs['flops']
  jaxpr = jax.make_jaxpr(step)(*args).jaxpr
  # Operations that no result needs, such as auxiliary heads, are removed.
  jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
  return products.count(jaxpr)


def memory(compiled):
  """Returns the bytes that a compiled step needs on a device, None if unknown.

  They are those of its arguments, of the outputs that reuse no argument, and of
  temporary buffers.
  """
  stats = compiled.memory_analysis()
  if stats is None:
    return None
  return (
      stats.argument_size_in_bytes
      + stats.output_size_in_bytes
      - stats.alias_size_in_bytes
      + stats.temp_size_in_bytes
  )
