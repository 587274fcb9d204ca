"""Systems, one file a paper, found by name."""

import dataclasses
import importlib
import pkgutil


def names():
  """Returns the systems that exist."""
  return [module.name for module in pkgutil.iter_modules(__path__)]


def module(name):
  """Returns the module of a system; a ValueError says which there are."""
  if name not in names():
    raise ValueError(
        f'There is no model {name!r}. Known: {", ".join(names())}.'
    )
  return importlib.import_module(f'{__name__}.{name}')


def create(name, num_classes, **fields):
  """Returns the Flax module of a system.

  Args:
    name: a module of this package, such as 'deeplabv3'.
    num_classes: channels of the logits; 1 is that of a sigmoid.
    **fields: fields of its `Model`.

  Raises:
    ValueError: there is no such system, it has no such field, or there is
      no channel.
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
