"""What came of a fault."""

import collections
import dataclasses


@dataclasses.dataclass
class Found:
  """How often a fault was made and its promise kept, and what was seen.

  Attributes:
    tries: how often the fault was made.
    kept: how often the promise was kept.
    seen: how often what was seen, in words.
    broken: what was seen instead of what was promised.
  """

  tries: int = 0
  kept: int = 0
  seen: collections.Counter = dataclasses.field(
      default_factory=collections.Counter
  )
  broken: list[str] = dataclasses.field(default_factory=list)

  def note(self, kept, seen, instead=''):
    """Counts a try.

    Args:
      kept: whether the promise was.
      seen: in a few words, for the table.
      instead: all there is to know if it was not.
    """
    self.tries += 1
    self.kept += bool(kept)
    if kept:
      self.seen[seen] += 1
    else:
      self.broken.append(f'{seen}: {instead}')

  @property
  def words(self):
    """What was seen, with how often where it was more than once."""
    said = [
        f'{words} ({times} times)' if times > 1 else words
        for words, times in self.seen.items()
    ]
    return '; '.join(said + [f'BROKEN: {line}' for line in self.broken])


def last_line(log):
  """Returns what a program said last, rather in its own words.

  Threads of libraries may talk after it.
  """
  lines = [line for line in log.splitlines() if line.strip()]
  words = [line for line in lines if line.startswith('segjax: ')]
  return (words or lines or [''])[-1]
