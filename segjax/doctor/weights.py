"""Checks the weights that a run begins with."""

from segjax.convert import sources


def check(init_from: str) -> list[str]:
  """Fetches and reads the weights; returns what is wrong with them.

  Args:
    init_from: workdir or name of the weights, or ''.
  """
  # Slow: it imports Orbax.
  from segjax.artifacts import warm_start

  try:
    if named := sources.find(init_from):
      sources.fetch(named)
    elif init_from:
      warm_start.read(init_from)
  except (OSError, ValueError) as error:
    return [f'config.init_from: {error}']
  return []
