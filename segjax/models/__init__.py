"""Segmentation systems, one file for each paper, created by name."""

import dataclasses
import importlib
import pkgutil
import types
from typing import Any

from flax import linen as nn


def names() -> list[str]:
  """Returns the names of all systems."""
  return [module.name for module in pkgutil.iter_modules(__path__)]


def module(name: str) -> types.ModuleType:
  """Imports the Python module of a system; a wrong name is a ValueError."""
  if name not in names():
    raise ValueError(
        f'There is no model {name!r}. Known: {", ".join(names())}.'
    )
  return importlib.import_module(f'{__name__}.{name}')


def create(name: str, num_classes: int, **fields: Any) -> nn.Module:
  """Creates the Flax module of a system.

  Args:
    name: name of a module of this package, such as 'deeplabv3'.
    num_classes: number of channels of the logits; 1 for a sigmoid.
    **fields: fields of the system's `Model`.

  Raises:
    ValueError: there is no such system, it has no such field, or `num_classes`
      is below 1.
  """
  model = module(name).Model
  if num_classes < 1:
    raise ValueError(f'num_classes={num_classes}: at least 1 is needed.')
  known = {
      field.name
      for field in dataclasses.fields(model)
      if field.name not in ('num_classes', 'parent', 'name')
  }
  if unknown := sorted(set(fields) - known):
    raise ValueError(
        f'{name} has no field {", ".join(unknown)}. Known:'
        f' {", ".join(sorted(known))}.'
    )
  return model(num_classes, **fields)
