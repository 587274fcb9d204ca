"""Progress of long loops: a bar on a terminal, lines in a log."""

from collections.abc import Iterable
from collections.abc import Iterator
import sys
import time
from typing import TypeVar

from absl import logging
from rich.console import Console
import rich.progress

T = TypeVar('T')

# Time between two lines of a log.
SECONDS = 10
# All bars share one console, so that a nested bar is drawn below the outer one.
CONSOLE = Console(stderr=True)


def track(items: Iterable[T], total: int, title: str) -> Iterator[T]:
  """Yields items and shows the progress and the time left.

  Args:
    items: the items.
    total: number of items.
    title: name of the work, such as 'Evaluating'.
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


def bar(
    items: Iterable[T], total: int, title: str, done: int = 0
) -> Iterable[T]:
  """Yields items and shows a progress bar that starts at `done` of `total`."""
  return rich.progress.track(
      items,
      title,
      total,
      completed=done,
      console=CONSOLE,
      transient=True,
  )


def on_terminal() -> bool:
  """Tells whether standard error is a terminal."""
  return sys.stderr.isatty()
