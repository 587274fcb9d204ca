"""Devices: the only file that knows how many there are.

The same pure step runs under `jax.pmap` (one program a device, collectives by
axis name) and under `jax.jit` over a mesh (one program, arrays split over
devices). `axis()` tells a layer which of the two it is in, so batch norm and
means over pixels are global in both without any plumbing. A `Layout` says which
of the two it is to be, and how arrays are split.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data import fields

AXIS = 'batch'
ROWS = 'rows'
MODES = ('pmap', 'jit')
STRIDE = 32  # Of the coarsest features of backbones.


def axis():
  """Returns `AXIS` inside a mapped function and None elsewhere."""
  try:
    jax.lax.axis_index(AXIS)
  except NameError:  # Unbound: plain jit, eval_shape, init or eager code.
    return None
  return AXIS


def rows():
  """Returns over how many devices the mesh in force splits an image by rows."""
  return jax.sharding.get_abstract_mesh().shape.get(ROWS, 1)


def pmean(tree):
  """Averages over devices where they are mapped.

  Over a mesh a mean is global as it is; it is then whole on every device,
  though what is made of it may be split.
  """
  if axis():
    return jax.lax.pmean(tree, AXIS)
  if jax.sharding.get_abstract_mesh().empty:
    return tree
  return jax.lax.with_sharding_constraint(tree, jax.P())


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


def count(local=False):
  """Returns the number of devices, of this host or of all."""
  return jax.local_device_count() if local else jax.device_count()


def whole(tree):
  """Returns a tree as NumPy arrays, also where devices share its arrays.

  All hosts have to ask together.
  """

  def fetch(x):
    if isinstance(x, jax.Array) and not (
        x.is_fully_addressable or x.is_fully_replicated
    ):
      everywhere = jax.NamedSharding(x.sharding.mesh, jax.P())
      x = jax.jit(lambda x: x, out_shardings=everywhere)(x)
    return np.asarray(x)

  return jax.tree.map(fetch, tree)


def local(tree):
  """Returns a tree as arrays on the devices of this host, whole on each."""
  everywhere = jax.NamedSharding(_mesh(jax.local_devices(), 1), jax.P())
  return jax.device_put(whole(tree), everywhere)


def compiler_options():
  """Returns the options with which jit compiles on these devices.

  XLA for CPUs keeps what `ops.barrier` asks for, unless it forgets barriers
  before it fuses.
  """
  if jax.default_backend() != 'cpu':
    return None
  return {'xla_disable_hlo_passes': 'cse_barrier_expander'}


def _is_traced(x):
  """Tells whether `x` is of a program that another jit compiles, its way."""
  return isinstance(x, jax.core.Tracer)


def _with_options(mapped, **jit):
  """Returns a mapped function that is compiled with the options.

  Those of jit are the only ones there are. Of several processes, which each
  give their own arrays, jit knows nothing.
  """
  options = compiler_options()
  if not options or jax.process_count() > 1:
    return mapped
  # By a function around it, since jit would take over its `lower`.
  return jax.jit(lambda *args: mapped(*args), compiler_options=options, **jit)


@dataclasses.dataclass(frozen=True)
class Layout:
  """How batches and the state of a run lie on the devices.

  Under 'jit' these are a mesh, [data, rows]: images are divided over its first
  axis, and the rows of each over its second. The partitioner of XLA exchanges
  the rows that a convolution sees beyond its own.
  """

  mode: str = 'pmap'
  mesh: tuple[int, int] = (-1, 1)  # -1 is as many as there are.
  # Splits parameters, averages and the optimiser's state over all devices
  # (ZeRO, https://arxiv.org/abs/1910.02054). A step gathers the parameters to
  # compute the gradient, and each device updates its part.
  shard_state: bool = False

  def __post_init__(self):
    if self.mode not in MODES:
      raise ValueError(f'config.parallel={self.mode!r} is not one of {MODES}.')
    integers = all(isinstance(number, int) for number in self.mesh)
    data, rows = self.mesh if integers and len(self.mesh) == 2 else (0, 0)
    if rows < 1 or (data < 1 and data != -1):
      raise ValueError(
          f'config.mesh={self.mesh} must be two positive whole numbers, (data,'
          ' rows); a first one of -1 takes all devices that there are.'
      )
    if self.mode == 'pmap' and (rows > 1 or self.shard_state):
      what = f'config.mesh={self.mesh}' if rows > 1 else 'config.shard_state'
      raise ValueError(
          f'{what} wants --config.parallel=jit: pmap splits the batch alone.'
      )

  def check(self, batch_size):
    """Raises ValueError unless the mesh is all devices and splits a batch."""
    (data, rows), devices = self.mesh, count()
    if rows > 1 and count(local=True) % rows:
      raise ValueError(
          f'config.mesh={self.mesh} splits an image over {rows} devices of a'
          f' process, and it has {count(local=True)}: let the second number be'
          ' a divisor of these.'
      )
    if data not in (-1, devices // rows):
      raise ValueError(
          f'config.mesh={self.mesh} is a mesh of {data * rows} devices, and'
          f' there are {devices}: (-1, {rows}) takes them all.'
      )
    groups = self.groups()
    if batch_size <= 0 or batch_size % groups:
      over = f'groups of {rows} devices' if rows > 1 else 'devices'
      raise ValueError(
          f'config.batch_size={batch_size} cannot be split over {groups}'
          f' {over}: make it a positive multiple of {groups}.'
      )

  def check_height(self, height):
    """Raises ValueError unless feature maps of images split evenly by rows.

    Where rows are left over, gradients that XLA's partitioner makes of some
    networks, such as SegNet, are multiples of the right ones.
    """
    unit = STRIDE * self.mesh[1]
    if self.mesh[1] > 1 and height % unit:
      raise ValueError(
          f'config.mesh={self.mesh} cannot split images of {height} rows, and'
          f' their features at 1/{STRIDE}, evenly: let config.preprocess.train'
          f' crop to a multiple of {unit} rows.'
      )

  def groups(self, local=False):
    """Returns among how many groups of devices the images are divided.

    Args:
      local: those of this host, where evaluation and prediction are. It has as
        many devices a group as divide both the rows and its devices.
    """
    if local:
      return count(local=True) // math.gcd(self.mesh[1], count(local=True))
    return count() // self.mesh[1]

  def shard(self, batch):
    """Lays this host's part of a batch out over its devices.

    Args:
      batch: {field: NumPy array [b, ...]}, this host's share.

    Returns:
      The batch as [local devices, b / local devices, ...] for pmap, and as
      global arrays [B, ...] for jit.
    """
    if self.mode == 'pmap':
      devices = count(local=True)
      return jax.tree.map(
          lambda x: np.reshape(x, (devices, len(x) // devices, *x.shape[1:])),
          batch,
      )
    shardings = _evenly(self._mesh(), batch)
    return {
        name: jax.make_array_from_process_local_data(shardings[name], x)
        for name, x in batch.items()
    }

  def shard_shapes(self, batch):
    """Returns the shapes that `shard` gives a global batch of shapes."""
    if self.mode == 'pmap':
      devices = count(local=True)
      return jax.tree.map(
          lambda x: jax.ShapeDtypeStruct(
              (devices, x.shape[0] // count(), *x.shape[1:]), x.dtype
          ),
          batch,
      )
    shardings = _evenly(self._mesh(), batch)
    return {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[name])
        for name, x in batch.items()
    }

  def place(self, state):
    """Lays a state that every host has whole out over the devices."""
    if self.mode == 'pmap':
      # As the step returns it: jit would compile a step again for a state on
      # another mesh, though its devices are the same. Of several processes
      # with several devices each, pmap fails on arrays that it would have to
      # copy there itself.
      mesh = jax.sharding.Mesh(jax.local_devices(), (AXIS,))
      return jax.device_put(whole(state), jax.NamedSharding(mesh, jax.P()))
    return jax.tree.map(
        lambda x, sharding: jax.make_array_from_callback(
            x.shape, sharding, lambda index: x[index]
        ),
        whole(state),
        self._shardings(state),
    )

  def compile_step(self, step, state):
    """Compiles `step(state, batch) -> (state, scalars)`.

    Args:
      step: a pure function.
      state: the first one, or its shapes. `place` lays it out, and `shard` a
        batch.

    Returns:
      The compiled function; the state it is given is donated to the new one.
    """
    if self.mode == 'pmap':
      mapped = jax.pmap(
          step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0
      )
      return _with_options(mapped, donate_argnums=0)
    mesh, shardings = self._mesh(), self._shardings(state)

    def split(state, batch):
      with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        # Else the partitioner may take the parts for channels to split, and
        # gather feature maps instead.
        params = jax.lax.with_sharding_constraint(state.params, jax.P())
        return step(state.replace(params=params), _split(mesh, batch))

    return jax.jit(
        split,
        donate_argnums=0,
        in_shardings=(shardings, None),
        out_shardings=(shardings, jax.NamedSharding(mesh, jax.P())),
        compiler_options=compiler_options(),
    )

  def compile_forward(self, forward):
    """Compiles `forward(variables, batch) -> outputs` for all local devices.

    Returns:
      A function of the variables, arrays of this host, and of a batch, {field:
      NumPy array [b, ...]}, b a multiple of `groups(local=True)`, that returns
      outputs {name: [b, ...]}.
    """
    # Evaluation is local to a host: each goes through its own images, and they
    # need not have the same number of them.
    devices = jax.local_devices()
    if self.mode == 'pmap':
      inner = jax.pmap(forward, AXIS, in_axes=(None, 0), devices=devices)
      outer = _with_options(inner)

      def apply(variables, batch):
        mapped = inner if _is_traced(batch['image']) else outer
        out = mapped(variables, self.shard(batch))
        return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), out)

      return apply
    mesh = _mesh(devices, math.gcd(self.mesh[1], len(devices)))

    def split(variables, batch):
      with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        out = forward(variables, _split(mesh, batch))
      # What is predicted for pixels lies as the images do.
      height = batch['image'].shape[1]
      shardings = {
          name: _sharding(mesh, x, x.ndim > 2 and x.shape[1] == height)
          for name, x in out.items()
      }
      return jax.lax.with_sharding_constraint(out, shardings)

    compiled = jax.jit(split, compiler_options=compiler_options())

    def apply(variables, batch):
      mapped = split if _is_traced(batch['image']) else compiled
      return mapped(variables, jax.device_put(batch, _evenly(mesh, batch)))

    return apply

  def _mesh(self):
    # Those of a host are neighbours: an image is split within one.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return _mesh(devices, self.mesh[1])

  def _shardings(self, state):
    mesh = self._mesh()

    def sharding(x):
      # Vectors, of norms and biases, are small: they are everywhere.
      axes = [i for i, n in enumerate(x.shape) if not n % mesh.size]
      if not self.shard_state or len(x.shape) < 2 or not axes:
        return jax.NamedSharding(mesh, jax.P())
      largest = max(axes, key=lambda i: x.shape[i])
      return jax.NamedSharding(mesh, jax.P(*[None] * largest, (AXIS, ROWS)))

    return jax.tree.map(sharding, state)


def _mesh(devices, rows):
  # Its axes are automatic: explicit ones would make every operation of a model
  # state its output sharding.
  return jax.sharding.Mesh(np.reshape(devices, (-1, rows)), (AXIS, ROWS))


def _evenly(mesh, batch):
  """Returns how the fields of a batch lie: only spatial ones have rows."""
  return {
      name: _sharding(mesh, x, fields.is_spatial(name))
      for name, x in batch.items()
  }


def _sharding(mesh, x, has_rows):
  """Returns how an array [B, ...] lies; see `Layout.check_height`."""
  split = has_rows and x.shape[1] % (STRIDE * mesh.shape[ROWS]) == 0
  return jax.NamedSharding(mesh, jax.P(AXIS, ROWS) if split else jax.P(AXIS))


def _split(mesh, batch):
  """Splits a batch within a compiled function."""
  return jax.lax.with_sharding_constraint(batch, _evenly(mesh, batch))
