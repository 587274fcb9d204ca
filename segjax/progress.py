"""Long work shows how far it is: a bar on a terminal, lines in a log."""

import sys
import time

from absl import logging
import rich.progress

SECONDS = 10  # Between lines of a log.


def track(items, total, title):
  """Yields the items and shows progress, with the time left.

  Args:
    items: an iterable.
    total: how many there are.
    title: what is being done, such as 'Evaluating'.
  """
  if sys.stderr.isatty():
    yield from rich.progress.track(
        items,
        title,
        total,
        console=rich.console.Console(stderr=True),
        transient=True,
    )
    return
  start = last = time.monotonic()
  for done, item in enumerate(items, 1):
    yield item
    now = time.monotonic()
    if now - last >= SECONDS:
      last = now
      left = (now - start) / done * (total - done)
      logging.info('%s: %d of %d, %.0f s left', title, done, total, left)
