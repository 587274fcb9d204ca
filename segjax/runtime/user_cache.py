"""The folder of what segjax keeps for a user between programs."""

import os
import pathlib


def folder(name: str) -> pathlib.Path:
  """Returns a folder in the user's cache folder, which may not be there yet.

  Args:
    name: what is kept there, such as 'xla'.
  """
  cache = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(cache) / 'segjax' / name
