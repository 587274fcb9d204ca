"""Backbones, built from a string: `build('resnet/50(output_stride=16)')`."""

import ast
from collections.abc import Sequence
import dataclasses
import functools
import importlib
import pkgutil
from typing import Any

from flax import linen as nn

from segjax import specs


@functools.cache
def names() -> tuple[str, ...]:
  """Returns the names of all backbones, 'family/variant'."""
  return tuple(
      f'{module.name}/{variant}'
      for module in pkgutil.iter_modules(__path__)
      for variant in importlib.import_module(
          f'{__name__}.{module.name}'
      ).VARIANTS
  )


def build(backbone: str, reads: Sequence[str] = (), **fields: Any) -> nn.Module:
  """Returns the Flax module of a backbone.

  A field takes its value from `fields`, which the system sets, else from the
  options in the string, else from the variant.

  Args:
    backbone: 'family/variant', such as 'resnet/101', with or without options,
      such as 'resnet/101(output_stride=8, multi_grid=(1, 2, 4))'. The family
      is a module of this package, the variant a key of its `VARIANTS`, and an
      option a field of its `Backbone`.
    reads: levels that the system reads, such as ('c2', 'c5'); entries '' are
      passed over.
    **fields: fields that the system needs for any variant, and `name`.

  Returns:
    A module; `module(image, train)` returns {level: features [B, h, w, C]},
    for most backbones from 'c1' at stride 2 to 'c5' at `output_stride`. The
    attribute `levels` names them.

  Raises:
    ValueError: there is no such backbone, it has no such option, field or
      level, or the string and the system set a field to different values.
  """
  variant, options = specs.split(backbone, 'backbone')
  if variant not in names():
    raise ValueError(
        f'There is no backbone {variant!r}. Known: {", ".join(names())}.'
    )
  family, _, key = variant.partition('/')
  module = importlib.import_module(f'{__name__}.{family}')
  known = {field.name: field for field in dataclasses.fields(module.Backbone)}
  defaults = module.VARIANTS[key]
  usable = {
      name: defaults.get(name, field.default)
      for name, field in known.items()
      if name not in ('parent', 'name') and 'Callable' not in str(field.type)
  }
  if unknown := sorted(set(options) - set(usable)):
    shown = ', '.join(
        f'{name}={value!r}'
        for name, value in usable.items()
        if _is_literal(value)
    )
    raise ValueError(
        f'The backbone {variant!r} has no option {", ".join(unknown)}. It is'
        f" used as '{variant}({shown})'."
    )
  if unknown := sorted(set(fields) - set(known)):
    raise ValueError(
        f'The backbone {variant} has no field {", ".join(unknown)}, which this'
        ' system sets: choose one of another family.'
    )
  for name in sorted(options.keys() & fields.keys()):
    if options[name] != fields[name]:
      raise ValueError(
          f'{backbone!r} has {name}={options[name]!r}, but this system sets'
          f' {name}={fields[name]!r}: leave it out of the string, and change'
          ' the field of the system if it has one.'
      )
  built = module.Backbone(**{**defaults, **options, **fields})
  if missing := [x for x in reads if x and x not in built.levels]:
    raise ValueError(
        f'This system reads {", ".join(missing)} of its backbone, which'
        f' {backbone!r} has not; it has {", ".join(built.levels)}. Choose one'
        ' of another family, or, where the level is a field of the system,'
        ' another level.'
    )
  return built


def _is_literal(value):
  """Tells whether a value can be written in an option of a string."""
  try:
    return ast.literal_eval(repr(value)) == value
  except (SyntaxError, ValueError):
    return False
