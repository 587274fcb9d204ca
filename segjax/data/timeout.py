"""A data set that does not wait for ever, such as for a server that is gone."""

from concurrent import futures
import contextlib
import queue
import threading
import weakref


class WithTimeout:
  """A data set whose examples come in time, or raise TimeoutError.

  They are read in threads of its own, so that one that hangs keeps neither its
  caller nor the end of the program waiting.
  """

  def __init__(self, dataset, seconds, threads):
    """Wraps a data set.

    Args:
      dataset: a `datasets.Dataset`.
      seconds: to wait for an example; 0 waits for ever.
      threads: that read; as many as read at a time.
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
    self._asked = queue.SimpleQueue()
    if seconds:
      for _ in range(threads):
        threading.Thread(
            target=_read_for, args=(dataset, self._asked), daemon=True
        ).start()
      weakref.finalize(self, _dismiss, self._asked, threads)

  def __len__(self):
    return len(self._dataset)

  def __getitem__(self, index):
    if not self._seconds:
      return self._dataset[index]
    answer = futures.Future()
    self._waiting.add(answer)
    try:
      self._asked.put((answer, index))
      if not self._error and not futures.wait([answer], self._seconds).done:
        self._give_up(index)
      if self._error:
        raise self._error
      return answer.result()
    finally:
      self._waiting.discard(answer)

  def _give_up(self, index):
    """Ends all waiting: else each of the others would take its own time."""
    self._error = TimeoutError(
        f'Waited {self._seconds:g} s for {self._dataset.where(index)}. Does the'
        ' disk or the server still answer? config.loader_timeout is how long to'
        ' wait.'
    )
    for answer in list(self._waiting):
      with contextlib.suppress(futures.InvalidStateError):
        answer.set_exception(self._error)


def _read_for(dataset, asked):
  """Answers until it is dismissed; keeps no example when it is idle."""
  for answer, index in iter(asked.get, None):
    _answer(answer, dataset, index)
    del answer


def _answer(answer, dataset, index):
  # Where nobody waits any more, nobody wants to know.
  with contextlib.suppress(futures.InvalidStateError):
    try:
      example = dataset[index]
    except BaseException as error:
      answer.set_exception(error)
    else:
      answer.set_result(example)


def _dismiss(asked, threads):
  for _ in range(threads):
    asked.put(None)
