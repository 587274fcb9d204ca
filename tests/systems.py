"""Systems of small models that tests define themselves."""

from segjax import system
from segjax.data.label_map import numbered


def system_of(model, classes, **options):
  """Returns the system of a model without a file in segjax/models."""
  return system.build('net', model, numbered(classes), **options)
