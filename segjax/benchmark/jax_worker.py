"""The worker that runs segjax: `python -m segjax.benchmark.jax_worker`.

It builds a system and its steps as training does, but reads no data or files.
"""

import contextlib
import functools
import tempfile

import cv2
from etils import epath
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from segjax import models
from segjax import optim
from segjax import parallel
from segjax import steps
from segjax import system as systems
from segjax.benchmark import compiled
from segjax.benchmark import products
from segjax.benchmark import protocol
from segjax.data import image as images
from segjax.data import transforms
from segjax.data.label_map import numbered
from segjax.data.transforms import opencv
from segjax.ops import conv
from segjax.runtime import gc_tuning
from segjax.runtime import malloc

# SGD with momentum, as in the other workers.
OPTIM = dict(
    optimizer='sgd(momentum=0.9)',
    weight_decay=5e-4,
    decay_on='.*',
    factors=(),
    clip=0.0,
    total_steps=1,
)


class JaxWorker(compiled.CompiledWorker):
  """Worker that runs steps of segjax."""

  def __init__(self):
    super().__init__()
    self._initial = None, None, None  # Model, shapes and values of variables.

  def hello(self):
    """Returns a description of the devices and the versions of libraries."""
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
    """Compiles a step and stores it as a build.

    Args:
      name: name of the build.
      system: name of a module of segjax/models.
      fields: fields of its `Model`, with lists in place of tuples.
      classes: number of channels of the logits.
      size: [height, width] of the images.
      batch: images per step, over all devices.
      dtype: type of activations.
      what: 'train', or 'forward', which ends with a label map at the size of
        the image.
      mode: mode of the `parallel.Layout`.
      plain: whether convolutions are XLA's own, else those of `ops.conv`.
      remat: whether training recomputes blocks, see `layers.remat`.

    Returns:
      The facts of the build: number of parameters, FLOPs of the forward pass of
      training by `products`, and the results of `compile`.
    """
    layout = parallel.Layout(mode)
    layout.check(batch)
    timed = create(system, fields, classes, dtype)
    variables = jax.device_put(self._variables(timed, size))
    arrays = place(compiled.random_batch(batch, size, classes), layout)
    training = functools.partial(train_step, remat=remat)
    make = {'train': training, 'forward': forward_step}[what]
    step, state = make(timed, variables, layout)
    with conv.plain() if plain else contextlib.nullcontext():
      facts = self.compile(name, step, state, arrays)
    return {**facts, **count(timed, (batch, *size, 3))}

  def build_files(self, name, *, of, classes, size):
    """Stores the way from an image file to a file of labels as a build.

    A step reads a PNG, normalises it, predicts one image and writes a PNG of
    class ids, as `segjax.predict` does, without the picture on top of it.

    Args:
      name: name of the build.
      of: name of the build, of a forward pass of one image, that predicts.
      classes: number of channels of the logits.
      size: [height, width] of the image.

    Returns:
      The number of parameters.
    """
    predict, variables = self.programs[of]
    layout = parallel.Layout('jit')
    rest = place(compiled.random_batch(1, size, classes), layout)
    folder = tempfile.TemporaryDirectory()  # It lives as long as the build.
    source = epath.Path(folder.name) / 'image.png'
    # A smooth picture: noise would take longer to decode than photos do.
    coarse = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    images.write_png(
        source, opencv.resize(coarse, tuple(size), cv2.INTER_CUBIC)
    )
    ops = transforms.parse('normalize')
    palette = numbered(classes).colors

    def run(steps):
      for _ in range(steps):
        image = images.read_image(source, upright=True, channels=3)
        image = transforms.apply(ops, {'image': image})['image']
        batch = {**rest, **place({'image': image[None]}, layout)}
        labels = predict(variables, batch)
        result = epath.Path(folder.name) / 'labels.png'
        images.write_png(result, np.asarray(labels)[0], palette)

    run(1)
    self.builds[name] = run
    sizes = (x.size for x in jax.tree.leaves(variables['params']))
    return {'parameters': sum(sizes)}

  def _variables(self, system, size):
    """Initialises variables on the host, once for all steps of a model.

    Where they do not depend on the size of the image, they are initialised once
    for all sizes, too.
    """
    shapes = system.shapes((1, *size, 3))
    model, before, variables = self._initial
    if model != system.model or before != shapes:
      image = jnp.zeros((1, *size, 3))
      init = jax.jit(system.model.init)
      variables = jax.device_get(init(jax.random.key(0), image))
      self._initial = system.model, shapes, variables
    return variables


def create(name, fields, classes, dtype):
  """Creates a system; `fields` of its model may have lists for tuples."""
  fields = {
      k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
  }
  model = models.create(name, classes, **fields)
  return systems.build(name, model, numbered(classes), aux=0.4, dtype=dtype)


def count(system, shape):
  """Counts the parameters of a system, and its FLOPs by `products`.

  Args:
    system: a `System`.
    shape: shape [B, H, W, C] of the images.
  """
  image = jax.ShapeDtypeStruct(shape, jnp.float32)
  variables = system.shapes(shape)

  def forward(variables, image):
    key = jax.random.key(0)
    return system.apply(variables, {'image': image}, train=True, rng=key)

  jaxpr = jax.make_jaxpr(forward)(variables, image).jaxpr
  return {
      'parameters': sum(x.size for x in jax.tree.leaves(variables['params'])),
      'products': products.count(jaxpr),
  }


def place(batch, layout):
  """Places a batch on the devices, as steps expect it."""
  sharded = layout.shard(batch)
  return jax.pmap(lambda x: x)(sharded) if layout.mode == 'pmap' else sharded


def train_step(system, variables, layout, *, remat):
  """Returns the jitted training step and its initial state."""

  def learning_rate(step):
    del step
    return jnp.float32(0.01)

  tx = optim.create(learning_rate, **OPTIM)
  step = steps.make_train_step(
      system, tx, seed=0, rates=optim.rates(learning_rate), remat=remat
  )
  state = steps.init_state(variables, tx, ema=False)
  return layout.compile_step(step, state), layout.place(state)


def forward_step(system, variables, layout):
  """Returns the jitted step from images to label maps, and the variables."""

  def forward(variables, batch):
    out, _ = system.apply(variables, batch)
    logits = system.task.predict(out, system.label_map)['logits']
    return logits.argmax(-1).astype(jnp.uint8)

  if layout.mode == 'pmap':
    return jax.pmap(forward, parallel.AXIS, in_axes=(None, 0)), variables
  options = parallel.compiler_options()
  return jax.jit(forward, compiler_options=options), variables


if __name__ == '__main__':
  malloc.tune()
  gc_tuning.relax()
  protocol.serve(JaxWorker)
