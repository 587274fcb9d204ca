"""A step in JAX, compiled ahead of time, and what XLA says of it."""

import time

import jax
from jax.interpreters import partial_eval
import jax.numpy as jnp
import numpy as np

from segjax.benchmark import matmul
from segjax.benchmark import products
from segjax.benchmark import protocol


class CompiledWorker(protocol.Timed):
  """What workers on JAX share."""

  def compile(self, name, step, state, batch):
    """Compiles a step, runs it once and keeps it under a name.

    Args:
      name: of the build.
      step: has `lower`; `step(state, batch)` returns an array, or the next
        state and anything.
      state: a tree.
      batch: a tree.

    Returns:
      Its FLOPs, seconds to lower and to compile, and the bytes that it asks for
      on a device.
    """
    start = time.perf_counter()
    lowered = step.lower(state, batch)
    lowering = time.perf_counter() - start
    compiled = lowered.compile()
    compiling = time.perf_counter() - start - lowering
    counted = flops(lowered, step, state, batch)
    kept = [state]

    def run(steps):
      for _ in range(steps):
        out = compiled(kept[0], batch)
        if isinstance(out, tuple):
          kept[0], out = out
      jax.block_until_ready((kept, out))

    run(1)
    self.builds[name] = run
    return {
        'flops': counted,
        'lower_seconds': lowering,
        'compile_seconds': compiling,
        'memory': memory(compiled),
    }

  def after(self, name):
    """Returns the most that a device had in use, where it tells."""
    stats = jax.devices()[0].memory_stats() or {}
    return {'peak_bytes': stats.get('peak_bytes_in_use')}

  def peak(self, dtype):
    """Returns the fastest that a large matrix product is."""

    def product(side):
      a = jax.random.normal(jax.random.key(0), (side, side), dtype)
      multiply = jax.jit(jnp.matmul)
      return lambda: multiply(a, a).block_until_ready()

    return {'flops_per_second': matmul.fastest(product)}

  def profile(self, name, steps, folder):
    """Writes a trace of some steps."""
    with jax.profiler.trace(folder):
      self.builds[name](steps)
    return {}


def about(*modules):
  """Returns the devices, and the versions of modules."""
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

  They are those that XLA counts in the program as it is written. Some platforms
  count a compiled one alone, where kernels of the vendor are none; of these
  they are the step's convolutions and matrix products, see `products`.
  """
  costs = lowered.cost_analysis()
  if costs and costs.get('flops', 0) > 0:
    return costs['flops']
  jaxpr = jax.make_jaxpr(step)(*args).jaxpr
  # Without what no result needs, such as the auxiliary head of a prediction.
  jaxpr, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
  return products.count(jaxpr)


def memory(compiled):
  """Returns the bytes that a compiled step needs on a device, None if unknown.

  Its arguments, its outputs that are not in the place of these, and what it
  works in.
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
