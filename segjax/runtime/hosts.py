"""Multi-process training: start, communication, preemption and failures.

Processes that train together are called hosts. Each computes on its own devices
and reads its own share of the data; process 0 writes the files.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pickle
import sys
import time
import traceback
from typing import Any

from absl import logging
import jax
from jax.experimental import multihost_utils
import numpy as np

from segjax.runtime import rendezvous

# Seconds without a heartbeat after which a process counts as dead.
HEARTBEAT = 30


def initialize(
    address: str | None = None,
    number: int | None = None,
    index: int | None = None,
    timeout: int = 300,
) -> None:
  """Connects this process with the others of a multi-process run.

  Arguments that are None are read from Open MPI, Slurm or Cloud TPU. Without
  any of these, or with a single process, nothing happens. It has to be called
  before JAX initialises its devices.

  Where all arguments are known here, the processes meet first, so that an error
  names those that do not come. What a launcher tells JAX alone stays JAX's: it
  has started all processes, and reports those that end.

  Args:
    address: 'HOST:PORT' of process 0, where the processes connect.
    number: number of processes.
    index: index of this process.
    timeout: seconds to wait for the others.

  Raises:
    OSError: some processes did not connect in time; the error names them.
    ValueError: an argument is missing or wrong.
  """
  if number is None:  # Open MPI 5 sets these; JAX reads them of Open MPI 4.
    number = _integer('OMPI_COMM_WORLD_SIZE')
  if index is None:
    index = _integer('OMPI_COMM_WORLD_RANK')
  if number == 1:
    return
  if None not in (number, index) and not 0 <= index < number:
    raise ValueError(f'--process_id={index} is not one of 0 to {number - 1}.')
  known = dict(coordinator=address, num_processes=number, process_id=index)
  told = None not in known.values()
  if told:
    rendezvous.meet(address, number, index, timeout)
  try:
    jax.distributed.initialize(
        address,
        number,
        index,
        local_device_ids=_local_devices(),
        # A launcher around processes that were told all, such as the shell of
        # a Slurm job, does not know which devices each of them has.
        cluster_detection_method='deactivate' if told else None,
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=HEARTBEAT,
    )
  except (ValueError, OSError) as error:  # JAX was not told what is None.
    missing = [name for name, value in known.items() if value is None]
    if len(missing) == len(known):
      if isinstance(error, OSError):  # A TPU that is not in Google's cloud.
        logging.warning(
            'Trains alone, since JAX does not find the other processes (%s).'
            ' Name these by --coordinator, --num_processes and --process_id.',
            error,
        )
      return
    if not missing:
      raise
    raise ValueError(
        f'--{" and --".join(missing)} must be given, too: processes that train'
        ' together have an address to meet at, a number and an index.'
    ) from error


def _integer(variable):
  """Returns a number that the environment holds, or None."""
  value = os.environ.get(variable)
  return None if value is None else int(value)


def _local_devices():
  """Returns the devices of this process if Open MPI tells its place.

  As JAX does it, each of several processes on a machine takes one device.
  """
  place = _integer('OMPI_COMM_WORLD_LOCAL_RANK')
  given = 'JAX_LOCAL_DEVICE_IDS' in os.environ
  return None if place is None or given else [place]


def index() -> int:
  """Returns the index of this process among `count()`."""
  return jax.process_index()


def count() -> int:
  """Returns the number of processes that train together."""
  return jax.process_count()


def is_first() -> bool:
  """Tells whether this is process 0, which writes the files."""
  return index() == 0


def from_first(function: Callable[..., Any], *args: Any) -> Any:
  """Calls a function on process 0 and returns its result on all processes.

  All processes have to call this together.

  Args:
    function: its result has to be picklable.
    *args: arguments of the function.

  Raises:
    ValueError: on the other processes, if the function has failed on process 0,
      which raises the error itself.
  """
  if count() == 1:
    return function(*args)
  value = error = None
  if is_first():
    try:
      value = function(*args)
    except Exception as failure:
      error = failure
  message = error and f'Process 0 has failed: {error}'
  data = np.frombuffer(pickle.dumps((value, message)), np.uint8)
  size = int(multihost_utils.broadcast_one_to_all(np.uint32(data.size)))
  # Arrays need the same size everywhere; only the content of process 0 counts.
  data = np.resize(data, size)
  value, message = pickle.loads(multihost_utils.broadcast_one_to_all(data))
  if error:
    raise error
  if message:
    raise ValueError(message)
  return value


class OnFirst:
  """Proxy of an object that exists on process 0 alone.

  All processes call its methods together. They run on process 0, and all
  processes get the result.
  """

  def __init__(self, make: Callable[..., Any], *args: Any):
    """Creates the object by `make(*args)` on process 0."""
    self._objects = []
    from_first(lambda: self._objects.append(make(*args)))

  def __getattr__(self, name):
    def method(*args, **kwargs):
      return from_first(
          lambda: getattr(self._objects[0], name)(*args, **kwargs)
      )

    return method

  def close(self) -> None:
    """Closes the object without waiting for others, which may have failed."""
    for item in self._objects:
      item.close()


def preempted(question: int) -> bool:
  """Tells whether to stop here because a process got SIGTERM.

  All processes ask at the same places, so that they stop at the same one.

  Without JAX's service, `jax_enable_preemption_service`, no process is told of
  the SIGTERM of another one, and SIGTERM ends a process at once.

  Args:
    question: its number, from one to the next by one.
  """
  if not jax.config.jax_enable_preemption_service:
    return False
  return multihost_utils.reached_preemption_sync_point(question)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
  """Context that ends a failing process of several at once.

  A normal exit would wait for the other processes, which wait for this one.
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
      # The others end soon after process 0, and print their errors until then.
      time.sleep(1)
    os._exit(code if isinstance(code, int) else 1)


@contextlib.contextmanager
def explain_lost_peers() -> Iterator[None]:
  """Context that explains errors raised because another process has ended."""
  try:
    yield
  except (ValueError, jax.errors.JaxRuntimeError) as error:
    # Collectives on CPUs raise an error of Gloo. Elsewhere JAX itself ends the
    # process.
    if not jax.distributed.is_initialized() or 'Gloo' not in str(error):
      raise
    raise OSError(
        f'Process {index()} has lost contact with another of the {count()}:'
        ' read the logs of the others. The same commands again go on from the'
        f' last checkpoint. ({str(error).splitlines()[0]})'
    ) from error
