"""Processes that train together, called hosts, and what they say to each other.

Each computes on devices of its own and reads its own share of the data. Files
are the business of the first.
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
import numpy as np

from segjax.runtime import rendezvous

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
  """Returns what JAX knows of the cluster that started this process.

  `jax.distributed.initialize` asks these classes, too, but keeps to itself what
  they answer, and JAX has no public name for them. The number of processes and
  the index are needed before it: `rendezvous` names those that do not come, and
  a process without others starts nothing.
  """
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


def index():
  """Returns the index of this process among `count()`."""
  return jax.process_index()


def count():
  """Returns the number of processes that train together."""
  return jax.process_count()


def is_first():
  """Tells whether this host is the one that writes."""
  return index() == 0


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
  if count() == 1:
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

  All hosts ask after every step, and agree on one that none has passed. Without
  JAX's service, `jax_enable_preemption_service`, nobody is told: SIGTERM ends
  its process as it is.
  """
  if not jax.config.jax_enable_preemption_service:
    return False
  return multihost_utils.reached_preemption_sync_point(step)


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
def explain_lost_peers():
  """Says of an error that comes of another host's end that it does."""
  try:
    yield
  except (ValueError, jax.errors.JaxRuntimeError) as error:
    # What collectives raise on CPUs; elsewhere JAX ends the process.
    if not jax.distributed.is_initialized() or 'Gloo' not in str(error):
      raise
    raise OSError(
        f'Process {index()} has lost contact with another of the {count()}:'
        ' look at what the others say. The same commands again go on from the'
        f' last checkpoint. ({str(error).splitlines()[0]})'
    ) from error
