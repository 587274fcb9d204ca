"""SIGTERM, the notice of a preemption: a run saves its state and ends.

Until the first step is done there is nothing to save, and it may take minutes
to compile: a program that trains alone then ends at once, also while it
compiles. Later the loop of training asks, after every step and at every image
of an evaluation.
"""

from collections.abc import Iterator
import contextlib
import os
import signal
import socket
import threading

from absl import logging

from segjax.runtime import hosts

NOTHING_LOST = 'no step was taken since the start, and nothing is lost.'


class Stopped(SystemExit):  # noqa: N818  No error: it ends the program.
  """SIGTERM came, and the state is saved."""


class Notice:
  """Tells whether SIGTERM came to this process, if it trains alone.

  Attributes:
    code: exit code of the program that it stops, or None; see `noticed`.
    came: whether there was one; set by the signal.
    at_once: whether nothing would be lost if the process ended now.
  """

  def __init__(self, code: int | None = None):
    self.code = code
    self.came = False
    self.at_once = False
    self._questions = 0

  def asked(self) -> bool:
    """Tells whether to stop here.

    All hosts ask equally often, and the same question is answered alike.
    """
    self._questions += 1
    if hosts.count() > 1:  # JAX has the signal, and tells all hosts of it.
      return hosts.preempted(self._questions)
    return self.came

  def stop(self, words: str) -> None:
    """Logs that the run is stopped, and raises `Stopped`."""
    logging.info('Stopped by SIGTERM; %s', words)
    raise Stopped(self.code or 0)

  def note(self, *_) -> None:
    """Handles the signal."""
    self.came = True
    if self.at_once and self.code is None:
      self.stop(NOTHING_LOST)


@contextlib.contextmanager
def noticed(code: int | None = None) -> Iterator[Notice]:
  """Yields a `Notice`; `at_once` holds until the caller changes it.

  Only the main thread may ask for signals; elsewhere none is noticed, and of
  several hosts JAX asks.

  Args:
    code: exit code of a program that is stopped and has nothing else to do, so
      that it may end in the middle of a word; without it `Stopped` is raised.
  """
  notice = Notice(code)
  main = threading.current_thread() is threading.main_thread()
  if hosts.count() > 1 or not main:
    yield notice
    return
  notice.at_once = True
  receiver, sender = socket.socketpair()
  sender.setblocking(False)
  handler_before = signal.signal(signal.SIGTERM, notice.note)
  wakeup_before = signal.set_wakeup_fd(
      sender.fileno(), warn_on_full_buffer=False
  )
  watcher = threading.Thread(
      target=_watch, args=(notice, receiver), daemon=True
  )
  watcher.start()
  try:
    yield notice
  finally:
    notice.at_once = False
    signal.set_wakeup_fd(wakeup_before)
    signal.signal(signal.SIGTERM, handler_before)
    sender.close()
    watcher.join()
    receiver.close()


def _watch(notice, receiver):
  """Ends a program at SIGTERM while nothing would be lost.

  Handlers of signals are called between two instructions of the main thread,
  and to compile a program is one. To raise would not do, either: at the end of
  Python the threads of a compiler that is at work crash.
  """
  while received := receiver.recv(1):
    to_end = received[0] == signal.SIGTERM and notice.at_once
    if to_end and notice.code is not None:
      logging.info('Stopped by SIGTERM; %s', NOTHING_LOST)
      logging.flush()
      os._exit(notice.code)
