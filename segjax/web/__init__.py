"""Pages for a browser: HTML of values that others compute, no network."""

import importlib.resources


def resource(name: str) -> str:
  """Returns the text of a file of this folder."""
  return importlib.resources.files(__name__).joinpath(name).read_text('utf-8')
