"""Long work shows how far it is: a bar on a terminal, lines in a log."""

import sys
import time

from absl import logging
from rich.console import Console
import rich.progress

SECONDS = 10  # Between lines of a log.
# One for all, so that a bar within a bar is drawn below it.
CONSOLE = Console(stderr=True)


def track(items, total, title):
  """Yields the items and shows progress, with the time left.

  Args:
    items: an iterable.
    total: how many there are.
    title: what is being done, such as 'Evaluating'.
  """
  if on_terminal():
    yield from bar(items, total, title)
    return
  start = last = time.monotonic()
  for done, item in enumerate(items, 1):
    yield item
    now = time.monotonic()
    if now - last >= SECONDS:
      last = now
      left = (now - start) / done * (total - done)
      logging.info('%s: %d of %d, %.0f s left', title, done, total, left)


def bar(items, total, title, done=0):
  """Yields the items and moves a bar, which began at `done`."""
  return rich.progress.track(
      items,
      title,
      total,
      completed=done,
      console=CONSOLE,
      transient=True,
  )


def on_terminal():
  """Tells whether a person watches."""
  return sys.stderr.isatty()
