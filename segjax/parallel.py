"""Devices: the only file that knows how many there are.

The same pure step runs under `jax.pmap` (one program a device, collectives by
axis name) and under `jax.jit` over a mesh (one program, arrays split over
devices). `axis()` tells a layer which of the two it is in, so batch norm and
means over pixels are global in both without any plumbing.
"""

import jax
import jax.numpy as jnp
import numpy as np

AXIS = 'batch'
MODES = ('pmap', 'jit')


def axis():
  """Returns `AXIS` inside a mapped function and None elsewhere."""
  try:
    jax.lax.axis_index(AXIS)
  except NameError:  # Unbound: plain jit, eval_shape, init or eager code.
    return None
  return AXIS


def pmean(tree):
  """Averages over devices where they are mapped, else returns `tree`."""
  return jax.lax.pmean(tree, AXIS) if axis() else tree


def psum(tree):
  """Sums over devices where they are mapped, else returns `tree`.

  A function of such sums is the same on all devices. The gradient of a sum is
  summed in its turn, so each device has its part of the gradient as often as
  there are devices, and `pmean` makes of these the gradient of the function.
  """
  return jax.lax.psum(tree, AXIS) if axis() else tree


def all_gather(x):
  """Concatenates the first axis over devices where they are mapped."""
  return jax.lax.all_gather(x, AXIS, tiled=True) if axis() else x


def fold_in_device(key):
  """Gives each mapped device a random key of its own."""
  return jax.random.fold_in(key, jax.lax.axis_index(AXIS)) if axis() else key


def mesh():
  """Returns the mesh of all devices, one axis: the batch."""
  # Explicit axes, the default, would make every operation of a model state
  # its output sharding.
  return jax.make_mesh(
      (jax.device_count(),), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,)
  )


def count(local=False):
  """Returns the number of devices, of this host or of all."""
  return jax.local_device_count() if local else jax.device_count()


def check_batch_size(batch_size, name):
  """Raises ValueError unless `batch_size` splits evenly over all devices."""
  devices = count()
  if batch_size <= 0 or batch_size % devices:
    raise ValueError(
        f'{name}={batch_size} cannot be split over {devices} devices: make it'
        f' a positive multiple of {devices}.'
    )


def shard(batch, mode):
  """Lays this host's part of a batch out over its devices.

  Args:
    batch: tree of NumPy arrays [b, ...], this host's share.
    mode: 'pmap' or 'jit'.

  Returns:
    The tree as [local devices, b / local devices, ...] for pmap, and as
    global arrays [B, ...] for jit.
  """
  if mode == 'pmap':
    devices = count(local=True)
    return jax.tree.map(
        lambda x: np.reshape(x, (devices, len(x) // devices, *x.shape[1:])),
        batch,
    )
  sharding = jax.NamedSharding(mesh(), jax.P(AXIS))
  return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(sharding, x), batch
  )


def shard_shapes(batch, mode):
  """Returns the shapes that `shard` gives a global batch of shapes."""
  if mode == 'pmap':
    devices = count(local=True)
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            (devices, x.shape[0] // count(), *x.shape[1:]), x.dtype
        ),
        batch,
    )
  sharding = jax.NamedSharding(mesh(), jax.P(AXIS))
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
      batch,
  )


def compile_step(step, mode):
  """Compiles `step(state, batch) -> (state, scalars)`; see `shard` for batches.

  The state is an ordinary tree, replicated over the devices; the old one is
  donated to the new.
  """
  if mode == 'pmap':
    return jax.pmap(
        step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0
    )
  replicated = jax.NamedSharding(mesh(), jax.P())
  return jax.jit(step, donate_argnums=0, out_shardings=replicated)


def local(tree):
  """Returns a tree as arrays on the devices of this host, whole on each."""
  mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
  return jax.device_put(jax.device_get(tree), jax.NamedSharding(mesh, jax.P()))


def compile_forward(forward, mode):
  """Compiles `forward(variables, images) -> outputs` for all local devices.

  Returns:
    A function of the variables, arrays of this host, and of a NumPy array
    [b, ...], b a multiple of the number of local devices, that returns outputs
    [b, ...].
  """
  # Evaluation is local to a host: each goes through its own images, and they
  # need not have the same number of them.
  devices = jax.local_devices()
  if mode == 'pmap':
    mapped = jax.pmap(forward, AXIS, in_axes=(None, 0), devices=devices)

    def apply(variables, images):
      out = mapped(variables, shard(images, mode))
      return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), out)

    return apply
  local = jax.sharding.Mesh(np.array(devices), (AXIS,))
  rows = jax.NamedSharding(local, jax.P(AXIS))
  jitted = jax.jit(forward, out_shardings=rows)
  return lambda variables, images: jitted(
      variables, jax.device_put(images, rows)
  )
