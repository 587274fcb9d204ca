"""Devices and hosts: the only file that knows how many there are.

The same pure step runs under `jax.pmap` (one program a device, collectives by
axis name) and under `jax.jit` over a mesh (one program, arrays split over
devices). `axis()` tells a layer which of the two it is in, so batch norm and
means over pixels are global in both without any plumbing.

Of several processes, called hosts here, each computes on devices of its own and
reads its own share of the data. Files are the business of the first.
"""

import contextlib
import os
import pickle
import sys
import time
import traceback

import jax
from jax._src import clusters
from jax.experimental import multihost_utils
import jax.numpy as jnp
import numpy as np

from segjax import rendezvous

AXIS = 'batch'
MODES = ('pmap', 'jit')
HEARTBEAT = 30  # Seconds without a sign of life after which a host is dead.


def initialize(address=None, number=None, index=None, timeout=300):
  """Makes this process one of those that train together.

  What is not given is what Open MPI, Slurm or the Cloud TPU says. Where none of
  them does, or there is one process alone, nothing is done. It has to be called
  before JAX looks at its devices.

  Args:
    address: 'HOST:PORT' of process 0, where they meet.
    number: of processes.
    index: of this one.
    timeout: seconds to wait for the others.

  Raises:
    OSError: some did not come; names them.
    ValueError: something is missing.
  """
  if number == 1:
    return
  local = None  # Of the devices here, all.
  if None in (address, number, index) and (cluster := _cluster()):
    number = cluster.get_process_count() if number is None else number
    index = cluster.get_process_id() if index is None else index
    if number > 1 and address is None:
      address = _address(cluster, timeout)
    # As JAX does: of several processes on a machine each takes one device.
    place = cluster.get_local_process_id()
    local = None if place is None else [place]
  if number == 1 or (address, number, index) == (None,) * 3:
    return
  given = dict(coordinator=address, num_processes=number, process_id=index)
  if missing := [name for name, value in given.items() if value is None]:
    raise ValueError(
        f'--{" and --".join(missing)} must be given, too: processes that train'
        ' together have an address to meet at, a number and an index.'
    )
  if not 0 <= index < number:
    raise ValueError(f'--process_id={index} is not one of 0 to {number - 1}.')
  rendezvous.meet(address, number, index, timeout)
  jax.distributed.initialize(
      address,
      number,
      index,
      local_device_ids=None if 'JAX_LOCAL_DEVICE_IDS' in os.environ else local,
      cluster_detection_method='deactivate',
      initialization_timeout=timeout,
      heartbeat_timeout_seconds=HEARTBEAT,
  )


def _cluster():
  """Returns what JAX knows of the cluster that started this process."""
  # JAX itself asks for a variable that Open MPI 5 no longer sets.
  if 'OMPI_COMM_WORLD_SIZE' in os.environ:
    return clusters.OmpiCluster
  others = clusters.SlurmCluster, clusters.GkeTpuCluster, clusters.GceTpuCluster
  try:
    return next((kind for kind in others if kind.is_env_present()), None)
  except OSError:  # A TPU, but nobody to ask: it is not in Google's cloud.
    return None


def _address(cluster, timeout):
  try:
    return cluster.get_coordinator_address(
        timeout, os.environ.get('JAX_COORDINATOR_PORT')
    )
  except KeyError:  # Open MPI 5 again.
    return None


@contextlib.contextmanager
def leaving_at_once():
  """Around all that a process does: if it fails, it ends without the others.

  Python itself would wait for them at its end, and they wait for it.
  """
  try:
    yield
  except BaseException as error:
    code = error.code if isinstance(error, SystemExit) else 1
    if not jax.distributed.is_initialized() or not code:
      raise
    if isinstance(error, SystemExit):
      if isinstance(code, str):
        print(code, file=sys.stderr, flush=True)
    else:
      traceback.print_exc()
    sys.stdout.flush()
    if is_first():
      time.sleep(1)  # Without it the others end in the middle of a word.
    os._exit(code if isinstance(code, int) else 1)


@contextlib.contextmanager
def losses_in_words():
  """Says of an error that comes of another host's end that it does."""
  try:
    yield
  except (ValueError, jax.errors.JaxRuntimeError) as error:
    # What collectives raise on CPUs; elsewhere JAX ends the process.
    if not jax.distributed.is_initialized() or 'Gloo' not in str(error):
      raise
    raise OSError(
        f'Process {host()} has lost contact with another of the {num_hosts()}:'
        ' look at what the others say. The same commands again go on from the'
        f' last checkpoint. ({str(error).splitlines()[0]})'
    ) from error


def is_first():
  """Tells whether this host is the one that writes."""
  return host() == 0


def from_first(function, *args):
  """Returns on every host what a function returns on the first.

  It is only called there; the others wait. All hosts have to ask together.

  Args:
    function: returns what pickle takes.
    *args: its arguments.

  Raises:
    ValueError: on the others, if the function has failed on the first, where
      its own error is raised.
  """
  if num_hosts() == 1:
    return function(*args)
  value = error = None
  if is_first():
    try:
      value = function(*args)
    except Exception as failure:
      error = failure
  words = error and f'Process 0 has failed: {error}'
  data = np.frombuffer(pickle.dumps((value, words)), np.uint8)
  size = int(multihost_utils.broadcast_one_to_all(np.uint32(data.size)))
  data = np.resize(data, size)  # On the others, where the content is ignored.
  told, words = pickle.loads(multihost_utils.broadcast_one_to_all(data))
  if error:
    raise error
  if words:
    raise ValueError(words)
  return told


class OnFirst:
  """An object that lives on the first host.

  Its methods are called there and by `from_first`: by all hosts together.
  """

  def __init__(self, make, *args):
    """Calls `make(*args)` on the first host."""
    self._made = []
    from_first(lambda: self._made.append(make(*args)))

  def __getattr__(self, name):
    def method(*args, **kwargs):
      return from_first(lambda: getattr(self._made[0], name)(*args, **kwargs))

    return method

  def close(self):
    """Closes it; waits for nobody, since the others may have failed."""
    for made in self._made:
      made.close()


def preempted(step):
  """Tells whether to stop after this step, because a host got SIGTERM.

  All hosts ask after every step, and agree on one that none has passed.
  """
  return multihost_utils.reached_preemption_sync_point(step)


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


def host():
  """Returns the index of this process among `num_hosts()`."""
  return jax.process_index()


def num_hosts():
  """Returns the number of processes that train together."""
  return jax.process_count()


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
