"""Data parallelism: collectives, and the layout of arrays on devices.

No other file depends on the number of devices. The same pure step runs under
`jax.pmap` (a program per device, collectives by axis name) and under `jax.jit`
over a mesh (one program, arrays sharded over devices). The collectives here
find out which of the two they are in, so batch norm and means over pixels are
global in both. A `Layout` chooses one of the two and says how arrays are split.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from segjax.data import fields
from segjax.runtime import programs

AXIS = 'batch'
ROWS = 'rows'
MODES = ('pmap', 'jit')
# Stride of the coarsest features of backbones.
STRIDE = 32


def axis() -> str | None:
  """Returns `AXIS` inside a function that pmap maps, and None elsewhere."""
  try:
    jax.lax.axis_index(AXIS)
  except NameError:  # The name is unbound in jit, eval_shape and eager code.
    return None
  return AXIS


def rows() -> int:
  """Returns the number of devices over which the mesh splits image rows."""
  return jax.sharding.get_abstract_mesh().shape.get(ROWS, 1)


def pmean(tree: Any) -> Any:
  """Averages over devices under pmap.

  Under jit over a mesh a mean is already global: XLA inserts the all-reduce.
  The result is then constrained to be replicated on every device.

  Args:
    tree: a tree of arrays.
  """
  if axis():
    return jax.lax.pmean(tree, AXIS)
  if jax.sharding.get_abstract_mesh().empty:
    return tree
  return jax.lax.with_sharding_constraint(tree, jax.P())


def psum(tree: Any) -> Any:
  """Sums over devices under pmap, and returns `tree` elsewhere.

  Gradients come out right after `pmean`: a loss that is computed from such sums
  is equal on all N devices, and the gradient of the sum is summed over devices
  again, so each device gets N times its part of the gradient.

  Args:
    tree: a tree of arrays.
  """
  return jax.lax.psum(tree, AXIS) if axis() else tree


def all_gather(x: jax.Array) -> jax.Array:
  """Concatenates x [b, ...] over devices under pmap; returns x elsewhere."""
  return jax.lax.all_gather(x, AXIS, tiled=True) if axis() else x


def fold_in_device(key: jax.Array) -> jax.Array:
  """Returns a random key that differs between devices under pmap."""
  return jax.random.fold_in(key, jax.lax.axis_index(AXIS)) if axis() else key


def count(local: bool = False) -> int:
  """Returns the number of devices, of this process if `local`, else of all."""
  return jax.local_device_count() if local else jax.device_count()


def whole(tree: Any) -> Any:
  """Fetches a tree of arrays as NumPy arrays, gathering those that are sharded.

  All processes have to call it together, since gathering is a collective.
  """

  def fetch(x):
    if isinstance(x, jax.Array) and not (
        x.is_fully_addressable or x.is_fully_replicated
    ):
      replicated = jax.NamedSharding(x.sharding.mesh, jax.P())
      x = jax.jit(lambda x: x, out_shardings=replicated)(x)
    return np.asarray(x)

  return jax.tree.map(fetch, tree)


def local(tree: Any) -> Any:
  """Replicates a tree of arrays on every device of this process."""
  replicated = jax.NamedSharding(_mesh(jax.local_devices(), 1), jax.P())
  return jax.device_put(whole(tree), replicated)


def compiler_options() -> dict[str, str] | None:
  """Returns the compiler options that jit needs on these devices.

  XLA for CPUs removes optimization barriers before it fuses operations. Without
  that pass the arrays of `kernels.barrier` are computed once.
  """
  if jax.default_backend() != 'cpu':
    return None
  return {'xla_disable_hlo_passes': 'cse_barrier_expander'}


def _merged(tree):
  """Returns arrays [devices, b, ...] as [devices * b, ...]."""
  return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), tree)


merge = programs.bounded_jit(_merged)


def _is_traced(x):
  """Tells whether `x` is a tracer: an outer jit then compiles the program."""
  return isinstance(x, jax.core.Tracer)


def _with_options(mapped, **jit):
  """Returns a pmapped function that is compiled with `compiler_options`.

  Only jit takes compiler options, so it wraps the pmapped function. With
  several processes that is impossible: each passes arrays of its own, and jit
  expects global ones.
  """
  options = compiler_options()
  if not options or jax.process_count() > 1:
    return mapped
  # The lambda hides the `lower` method of the pmapped function from jit.
  return jax.jit(lambda *args: mapped(*args), compiler_options=options, **jit)


@dataclasses.dataclass(frozen=True)
class Layout:
  """Layout of batches and of the training state on the devices.

  Attributes:
    mode: 'pmap' or 'jit'.
    mesh: (data, rows), for jit: images are split over the first axis of this
      mesh, and the rows of each image over the second; XLA's partitioner
      exchanges the border rows that convolutions read. -1 takes all devices.
    shard_state: for jit: whether parameters, their averages and the optimiser's
      state are split over all devices (ZeRO, https://arxiv.org/abs/1910.02054).
      A step gathers the parameters to compute the gradient, and each device
      updates its part of them.
  """

  mode: str = 'pmap'
  mesh: tuple[int, int] = (-1, 1)
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

  def check(self, batch_size: int) -> None:
    """Raises ValueError unless the mesh fits the devices and the batch size."""
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

  def check_height(self, height: int) -> None:
    """Raises ValueError unless the rows of all feature maps split evenly.

    If they do not, XLA's partitioner computes gradients of some networks, such
    as SegNet, that are multiples of the right ones.

    Args:
      height: height of the training images.
    """
    unit = STRIDE * self.mesh[1]
    if self.mesh[1] > 1 and height % unit:
      raise ValueError(
          f'config.mesh={self.mesh} cannot split images of {height} rows, and'
          f' their features at 1/{STRIDE}, evenly: let config.preprocess.train'
          f' crop to a multiple of {unit} rows.'
      )

  def groups(self, local: bool = False) -> int:
    """Returns the number of groups of devices that share the images of a batch.

    The devices of a group hold the rows of the same images.

    Args:
      local: whether to count the groups of this process alone, which evaluation
        and prediction use. The size of a group is then the greatest common
        divisor of the rows of the mesh and of the local devices.
    """
    if local:
      return count(local=True) // math.gcd(self.mesh[1], count(local=True))
    return count() // self.mesh[1]

  def shard(self, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Distributes this process's part of a batch over its devices.

    Args:
      batch: {field: NumPy array [b, ...]}, this process's part.

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

  def shard_shapes(
      self, batch: Mapping[str, jax.ShapeDtypeStruct]
  ) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes that `shard` returns, from those of a global batch."""
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

  def place(self, state: Any) -> Any:
    """Places a state on the devices; every process passes the whole state."""
    if self.mode == 'pmap':
      # The sharding is the one that the step returns: for a state on another
      # mesh of the same devices jit would compile the step again. With several
      # processes of several devices each, pmap fails on arrays that it would
      # have to copy to the devices itself.
      mesh = jax.sharding.Mesh(jax.local_devices(), (AXIS,))
      return jax.device_put(whole(state), jax.NamedSharding(mesh, jax.P()))
    return jax.tree.map(
        lambda x, sharding: jax.make_array_from_callback(
            x.shape, sharding, lambda index: x[index]
        ),
        whole(state),
        self._shardings(state),
    )

  def compile_step(
      self, step: Callable[[Any, Any], tuple[Any, Any]], state: Any
  ) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Compiles `step(state, batch) -> (state, scalars)` for all devices.

    Args:
      step: a pure function.
      state: the initial state, or its shapes.

    Returns:
      The compiled function. It takes a state from `place` and a batch from
      `shard`, and reuses the memory of the state it is given (donation).
    """
    if self.mode == 'pmap':
      mapped = jax.pmap(
          step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0
      )
      return _with_options(mapped, donate_argnums=0)
    mesh, shardings = self._mesh(), self._shardings(state)

    def split(state, batch):
      with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        # Without this constraint the partitioner may keep the parameters split
        # by channels, and gather feature maps instead.
        params = jax.lax.with_sharding_constraint(state.params, jax.P())
        return step(state.replace(params=params), _split(mesh, batch))

    return jax.jit(
        split,
        donate_argnums=0,
        in_shardings=(shardings, None),
        out_shardings=(shardings, jax.NamedSharding(mesh, jax.P())),
        compiler_options=compiler_options(),
    )

  def compile_forward(
      self, forward: Callable[[Any, Any], dict[str, jax.Array]]
  ) -> Callable[[Any, Mapping[str, np.ndarray]], dict[str, jax.Array]]:
    """Compiles `forward(variables, batch) -> outputs` for the local devices.

    Args:
      forward: a pure function.

    Returns:
      A function of the variables, arrays of this process, and of a batch
      {field: NumPy array [b, ...]}, that returns outputs {name: [b, ...]}; b is
      a multiple of `groups(local=True)`. Programs of the `programs.COUNT`
      shapes that were used last are kept.
    """
    # Evaluation is local to a process, since processes may have different
    # numbers of images.
    devices = jax.local_devices()
    if self.mode == 'pmap':

      def mapped():
        return jax.pmap(
            lambda variables, batch: forward(variables, batch),
            AXIS,
            in_axes=(None, 0),
            devices=devices,
        )

      inner = mapped()
      outer = programs.Bounded(lambda: _with_options(mapped()))

      def apply(variables, batch):
        if _is_traced(batch['image']):
          return _merged(inner(variables, self.shard(batch)))
        return merge(outer(variables, self.shard(batch)))

      return apply
    mesh = _mesh(devices, math.gcd(self.mesh[1], len(devices)))

    def split(variables, batch):
      with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        out = forward(variables, _split(mesh, batch))
      # Predictions for pixels are split by rows as the images are.
      height = batch['image'].shape[1]
      shardings = {
          name: _sharding(mesh, x, x.ndim > 2 and x.shape[1] == height)
          for name, x in out.items()
      }
      return jax.lax.with_sharding_constraint(out, shardings)

    compiled = programs.bounded_jit(split, compiler_options=compiler_options())

    def apply(variables, batch):
      mapped = split if _is_traced(batch['image']) else compiled
      return mapped(variables, jax.device_put(batch, _evenly(mesh, batch)))

    return apply

  def _mesh(self):
    """Returns the mesh of all devices."""
    # Devices of a process are neighbours, so that an image is split within it.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return _mesh(devices, self.mesh[1])

  def _shardings(self, state):
    """Returns the tree of shardings of a state."""
    mesh = self._mesh()

    def sharding(x):
      # Vectors, such as biases and parameters of norms, are small, so they are
      # replicated.
      axes = [i for i, n in enumerate(x.shape) if not n % mesh.size]
      if not self.shard_state or len(x.shape) < 2 or not axes:
        return jax.NamedSharding(mesh, jax.P())
      largest = max(axes, key=lambda i: x.shape[i])
      return jax.NamedSharding(mesh, jax.P(*[None] * largest, (AXIS, ROWS)))

    return jax.tree.map(sharding, state)


def _mesh(devices, rows):
  # With JAX's explicit axes every operation of a model would have to state its
  # output sharding; these axes are automatic.
  return jax.sharding.Mesh(np.reshape(devices, (-1, rows)), (AXIS, ROWS))


def _evenly(mesh, batch):
  """Returns the shardings of the fields of a batch, by rows if spatial."""
  return {
      name: _sharding(mesh, x, fields.is_spatial(name))
      for name, x in batch.items()
  }


def _sharding(mesh, x, has_rows):
  """Returns the sharding of an array [B, ...].

  Rows are split only if those of all feature maps split evenly, too; see
  `Layout.check_height`.
  """
  split = has_rows and x.shape[1] % (STRIDE * mesh.shape[ROWS]) == 0
  return jax.NamedSharding(mesh, jax.P(AXIS, ROWS) if split else jax.P(AXIS))


def _split(mesh, batch):
  """Constrains a batch within a jitted function to its shardings."""
  return jax.lax.with_sharding_constraint(batch, _evenly(mesh, batch))
