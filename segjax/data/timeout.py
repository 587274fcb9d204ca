"""Time limit for reading examples, for disks and servers that hang."""

from concurrent import futures
import contextlib
import queue
import threading
import weakref


class WithTimeout:
  """A data set that raises TimeoutError if an example is not read in time.

  Examples are read in daemon threads. So a read that hangs blocks neither the
  caller nor the end of the program.
  """

  def __init__(self, dataset, seconds, threads):
    """Wraps a data set.

    Args:
      dataset: a `datasets.Dataset`.
      seconds: time limit of an example; 0 waits for ever.
      threads: number of examples that can be read at the same time.
    """
    if not seconds >= 0:
      raise ValueError(
          f'config.loader_timeout={seconds} must be seconds, or 0 to wait for'
          ' ever.'
      )
    self._dataset = dataset
    self._seconds = seconds
    self._error = None
    self._waiting = set()
    self._requests = queue.SimpleQueue()
    if seconds:
      for _ in range(threads):
        threading.Thread(
            target=_serve_requests,
            args=(dataset, self._requests),
            daemon=True,
        ).start()
      weakref.finalize(self, _dismiss, self._requests, threads)

  def __len__(self):
    return len(self._dataset)

  def __getitem__(self, index):
    if not self._seconds:
      return self._dataset[index]
    answer = futures.Future()
    self._waiting.add(answer)
    try:
      self._requests.put((answer, index))
      if not self._error and not futures.wait([answer], self._seconds).done:
        self._give_up(index)
      if self._error:
        raise self._error
      return answer.result()
    finally:
      self._waiting.discard(answer)

  def _give_up(self, index):
    """Raises the error in all waiting callers, so that none waits longer."""
    self._error = TimeoutError(
        f'Waited {self._seconds:g} s for {self._dataset.where(index)}. Does the'
        ' disk or the server still answer? config.loader_timeout is how long to'
        ' wait.'
    )
    for answer in list(self._waiting):
      with contextlib.suppress(futures.InvalidStateError):
        answer.set_exception(self._error)


def _serve_requests(dataset, requests):
  """Reads requested examples until the request None; the loop of a thread."""
  for answer, index in iter(requests.get, None):
    _answer(answer, dataset, index)
    del answer  # An idle thread would keep the example in memory.


def _answer(answer, dataset, index):
  """Reads an example and hands it, or the error, to the waiting caller."""
  # A caller that has given up has set the result already.
  with contextlib.suppress(futures.InvalidStateError):
    try:
      example = dataset[index]
    except BaseException as error:
      answer.set_exception(error)
    else:
      answer.set_result(example)


def _dismiss(requests, threads):
  """Ends the threads, by a request None for each."""
  for _ in range(threads):
    requests.put(None)
