"""The worker that runs segjax: `python -m segjax.benchmark.jax_worker`.

It imports what a step is made of and no more, so that it needs JAX, Flax and
Optax alone.
"""

import contextlib
import functools

import flax
import jax
import jax.numpy as jnp
import optax

from segjax import losses
from segjax import models
from segjax import optim
from segjax import parallel
from segjax import steps
from segjax.benchmark import compiled
from segjax.benchmark import products
from segjax.benchmark import protocol
from segjax.ops import conv
from segjax.runtime import compile_cache
from segjax.runtime import malloc
from segjax.tasks import semantic

# SGD with momentum, as the other workers have it.
OPTIM = dict(
    optimizer='sgd(momentum=0.9)',
    weight_decay=5e-4,
    decay_on='.*',
    factors=(),
    clip=0.0,
    total_steps=1,
)


class JaxWorker(compiled.CompiledWorker):
  """Steps of segjax."""

  def hello(self):
    """Returns the devices and the versions of what matters."""
    return compiled.about(flax, optax)

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
      remat=False,
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
      mode: of the `parallel.Layout` over the devices.
      plain: whether convolutions are XLA's own; else those of `ops.conv`.
      remat: whether training computes blocks again, see `layers.remat`.

    Returns:
      What is known before it is timed: parameters, FLOPs of a forward pass of
      training by `products`, and what `compile` tells.
    """
    layout = parallel.Layout(mode)
    layout.check(batch)
    model = create(system, fields, classes)
    variables = jax.device_put(initial(model, *size))
    arrays = place(compiled.random_batch(batch, size, classes), layout)
    training = functools.partial(train_step, remat=remat)
    make = {'train': training, 'forward': forward_step}[what]
    step, state = make(model, variables, dtype, layout)
    with conv.plain() if plain else contextlib.nullcontext():
      facts = self.compile(name, step, state, arrays)
    return {**facts, **count(model, (batch, *size, 3))}


def create(system, fields, classes):
  """Returns a model; `fields` may have lists for tuples."""
  return models.create(
      system,
      classes,
      **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()},
  )


@functools.lru_cache(maxsize=1)
def initial(model, height, width):
  """Returns variables on the host, made once for the steps of a model."""
  return jax.device_get(steps.init_variables(model, 0, (1, height, width, 3)))


def count(model, shape):
  """Returns the parameters of a model, and the FLOPs of `products`.

  Args:
    model: a Flax module.
    shape: of the images.
  """
  image = jax.ShapeDtypeStruct(shape, jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)

  def forward(variables, image):
    out, _ = model.apply(
        variables,
        image,
        train=True,
        rngs={'dropout': jax.random.key(0)},
        mutable=True,
    )
    return out

  jaxpr = jax.make_jaxpr(forward)(variables, image).jaxpr
  return {
      'parameters': sum(x.size for x in jax.tree.leaves(variables['params'])),
      'products': products.count(jaxpr),
  }


def place(batch, layout):
  """Returns a batch on the devices, as steps take it."""
  sharded = layout.shard(batch)
  return jax.pmap(lambda x: x)(sharded) if layout.mode == 'pmap' else sharded


def train_step(model, variables, dtype, layout, *, remat):
  """Returns the step of training, not compiled yet, and its state."""

  def learning_rate(step):
    del step
    return jnp.float32(0.01)

  tx = optim.create(learning_rate, **OPTIM)
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
      remat=remat,
  )
  state = steps.init_state(variables, tx, ema=False)
  return layout.compile_step(step, state), layout.place(state)


def forward_step(model, variables, dtype, layout):
  """Returns the step from images to label maps, and the variables."""

  def forward(variables, batch):
    out, _ = steps.forward(model, variables, batch, dtype=dtype)
    return semantic.predict(out).argmax(-1).astype(jnp.uint8)

  if layout.mode == 'pmap':
    return jax.pmap(forward, parallel.AXIS, in_axes=(None, 0)), variables
  options = parallel.compiler_options()
  return jax.jit(forward, compiler_options=options), variables


if __name__ == '__main__':
  malloc.tune()
  compile_cache.relax_gc()
  protocol.serve(JaxWorker)
