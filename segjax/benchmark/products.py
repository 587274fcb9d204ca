"""How much a network multiplies, counted as PyTorch's counter does."""

import math


def count(jaxpr):
  """Returns the FLOPs of convolutions and matrix products in a jaxpr.

  Two a multiplication, those with what pads an image included, which XLA's
  count leaves out. What a loop does counts once, and of branches the
  longest.
  """
  total = 0
  for equation in jaxpr.eqns:
    for value in equation.params.values():
      if hasattr(value, 'eqns'):
        total += count(value)
      elif isinstance(value, tuple) and value and hasattr(value[0], 'eqns'):
        total += max(map(count, value))
    out = equation.outvars[0].aval
    match equation.primitive.name:
      case 'conv_general_dilated':
        # The kernel without its output channels: what each output sums over.
        kernel = equation.invars[1].aval.shape
        channels = equation.params['dimension_numbers'].rhs_spec[0]
        total += 2 * out.size * math.prod(kernel) // kernel[channels]
      case 'dot_general':
        (contracted, _), _ = equation.params['dimension_numbers']
        shape = equation.invars[0].aval.shape
        total += 2 * out.size * math.prod(shape[axis] for axis in contracted)
  return total
