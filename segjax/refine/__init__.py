"""Refinement of probabilities after prediction, one file a method.

`build('dense_crf(gaussian=(3.0, 1.0), iterations=10)')`

A file NAME.py has `build(**options)`, which returns a function of an example
and of the probabilities [H, W, K] that were predicted for it, at its own size.
The function returns better probabilities [H, W, K]. The example has the image
as it was read, `raw` [H, W, C].
"""

from collections.abc import Callable
import importlib
import pkgutil

from segjax import specs


def names() -> list[str]:
  """Returns the refinements that exist."""
  return [module.name for module in pkgutil.iter_modules(__path__)]


def build(text: str) -> Callable | None:
  """Returns the refinement that a string names, or None for ''.

  Args:
    text: a file of this folder with the options of its `build`.

  Raises:
    ValueError: there is no such refinement, or its options are wrong.
  """
  if not text:
    return None
  known = {
      name: importlib.import_module(f'{__name__}.{name}').build
      for name in names()
  }
  name, options = specs.parse(text, known, 'refinement')
  try:
    return known[name](**options)
  except (TypeError, ValueError) as error:
    raise ValueError(f'{text}: {error}') from error
