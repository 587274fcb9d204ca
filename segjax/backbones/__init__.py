"""Backbones, found by name: `build('resnet/50', output_stride=16)`."""

import dataclasses
import importlib
import pkgutil


def names():
  """Returns the backbones that exist, as 'family/variant'."""
  return [
      f'{module.name}/{variant}'
      for module in pkgutil.iter_modules(__path__)
      for variant in importlib.import_module(
          f'{__name__}.{module.name}'
      ).VARIANTS
  ]


def build(backbone, **fields):
  """Returns the Flax module of a backbone.

  Args:
    backbone: 'family/variant', such as 'resnet/101'; the family is a module
      of this package and the variant a key of its `VARIANTS`.
    **fields: fields of the family's `Backbone`, such as `output_stride`.

  Returns:
    A module; `module(image, train)` returns features by level: 'c1' at
    stride 2 to 'c5' at `output_stride`, each [B, h, w, C].

  Raises:
    ValueError: there is no such backbone, or it has no such field.
  """
  if backbone not in names():
    raise ValueError(
        f'There is no backbone {backbone!r}. Known: {", ".join(names())}.'
    )
  family, variant = backbone.split('/')
  module = importlib.import_module(f'{__name__}.{family}')
  known = {field.name for field in dataclasses.fields(module.Backbone)}
  if unknown := sorted(set(fields) - known):
    raise ValueError(
        f'The backbone {backbone} has no field {", ".join(unknown)}, which this'
        ' system sets: choose one of another family.'
    )
  return module.Backbone(**{**module.VARIANTS[variant], **fields})
