"""The worker that runs segjax: `python -m segjax.benchmark.jax_worker`.

It imports what a step is made of and no more, so that it needs JAX, Flax and
Optax alone.
"""

import contextlib
import functools
import time
import types

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from segjax import losses
from segjax import models
from segjax import optim
from segjax import parallel
from segjax import steps
from segjax.benchmark import matmul
from segjax.benchmark import products
from segjax.benchmark import protocol
from segjax.tasks import semantic

# Of SGD with momentum, as the other workers have it.
OPTIM = types.SimpleNamespace(
    optimizer='sgd(momentum=0.9)',
    weight_decay=5e-4,
    decay_on='.*',
    factors=(),
    clip=0.0,
)
RATE = 0.01


def plain_convolutions():
  """Returns a context in which every convolution is XLA's own."""
  return contextlib.nullcontext()


class JaxWorker(protocol.Timed):
  """Steps of segjax, compiled ahead of time."""

  def hello(self):
    """Returns the devices and the versions of what matters."""
    device = jax.devices()[0]
    return {
        'platform': device.platform,
        'device': device.device_kind,
        'devices': jax.device_count(),
        'versions': {
            module.__name__: module.__version__
            for module in (jax, flax, optax, np)
        },
    }

  def build(
      self,
      name,
      *,
      system,
      fields,
      classes,
      size,
      batch,
      dtype,
      what,
      mode='jit',
      plain=False,
  ):
    """Compiles a step and keeps it under a name.

    Args:
      name: of the build.
      system: module of segjax/models.
      fields: of its `Model`; lists stand for tuples.
      classes: channels of the logits.
      size: [height, width] of the images.
      batch: images of a step, over all devices.
      dtype: of activations.
      what: 'train', or 'forward': to a label map at the size of the image.
      mode: how it is laid over the devices, see `parallel`.
      plain: whether convolutions are XLA's own; else those of `ops.conv`.

    Returns:
      What is known before it runs: parameters, FLOPs of the step as XLA counts
      them, those of `products` in a forward pass of training, seconds to
      compile, and the bytes that the compiled step asks for on a device.
    """
    fields = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
    }
    parallel.check_batch_size(batch, '--batch')
    model = models.create(system, classes, **fields)
    variables = steps.init_variables(model, 0, (1, *size, 3))
    parameters = sum(x.size for x in jax.tree.leaves(variables['params']))
    arrays = place(random_batch(batch, size, classes), mode)
    make = {'train': train_step, 'forward': forward_step}[what]
    step, state = make(model, variables, dtype, mode)
    with plain_convolutions() if plain else contextlib.nullcontext():
      start = time.perf_counter()
      lowered = step.lower(state, arrays)
      lowering = time.perf_counter() - start
    compiled = lowered.compile()
    compiling = time.perf_counter() - start - lowering
    self.builds[name] = stepping(compiled, state, arrays, what)
    self.builds[name](1)
    return {
        'parameters': parameters,
        'products': multiplied(model, variables, (batch, *size, 3)),
        'flops': flops(lowered, compiled),
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
      a = jnp.ones((side, side), dtype)
      multiply = jax.jit(jnp.matmul)
      return lambda: multiply(a, a).block_until_ready()

    return {'flops_per_second': matmul.fastest(product)}

  def profile(self, name, steps, folder):
    """Writes a trace of some steps."""
    with jax.profiler.trace(folder):
      self.builds[name](steps)
    return {}


def random_batch(batch, size, classes):
  """Returns a batch of noise."""
  rng = np.random.default_rng(0)
  return {
      'image': rng.standard_normal((batch, *size, 3), np.float32),
      'label': rng.integers(0, classes, (batch, *size), np.uint8),
  }


def place(batch, mode):
  """Returns a batch on the devices, as steps of the mode take it."""
  sharded = parallel.shard(batch, mode)
  return jax.pmap(lambda x: x)(sharded) if mode == 'pmap' else sharded


def train_step(model, variables, dtype, mode):
  """Returns the compilable step of training, and its state."""

  def learning_rate(step):
    del step
    return jnp.float32(RATE)

  tx = optim.create(OPTIM, learning_rate)
  step = steps.make_train_step(
      model,
      functools.partial(
          semantic.loss,
          objective=losses.build('cross_entropy'),
          aux_weight=0.4,
      ),
      tx,
      seed=0,
      dtype=dtype,
      learning_rate=learning_rate,
  )
  state = steps.init_state(variables, tx, ema=False)
  return parallel.compile_step(step, mode), state


def forward_step(model, variables, dtype, mode):
  """Returns the compilable step from images to label maps, and variables."""

  def forward(variables, batch):
    out, _ = steps.forward(model, variables, batch, dtype=dtype)
    return semantic.predict(out).argmax(-1).astype(jnp.uint8)

  if mode == 'pmap':
    return jax.pmap(forward, parallel.AXIS, in_axes=(None, 0)), variables
  return jax.jit(forward), variables


def stepping(compiled, state, batch, what):
  """Returns `run(steps)`, which returns when they are done."""
  kept = [state]

  def run(steps):
    for _ in range(steps):
      out = compiled(kept[0], batch)
      if what == 'train':
        kept[0], out = out
    jax.block_until_ready((kept, out))

  return run


def multiplied(model, variables, shape):
  """Returns the FLOPs of a forward pass of training, see `products`."""

  def forward(variables, image):
    out, _ = model.apply(
        variables,
        image,
        train=True,
        rngs={'dropout': jax.random.key(0)},
        mutable=True,
    )
    return out

  image = jax.ShapeDtypeStruct(shape, jnp.float32)
  with plain_convolutions():
    return products.count(jax.make_jaxpr(forward)(variables, image).jaxpr)


def flops(lowered, compiled):
  """Returns the FLOPs that XLA counts in a step, None if it does not.

  Those of the program as it is written, where that is told: of the compiled
  one they depend on what the compiler made of it.
  """
  for program in (lowered, compiled):
    costs = program.cost_analysis()
    if costs and costs.get('flops', 0) > 0:
      return costs['flops']
  return None


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


if __name__ == '__main__':
  protocol.serve(JaxWorker)
