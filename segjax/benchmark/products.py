"""Counter of FLOPs that agrees with PyTorch's."""

import math


def count(jaxpr):
  """Returns the FLOPs of convolutions and matrix products in a jaxpr.

  A multiplication with its addition counts as two. Unlike in XLA's count,
  products with padding are included. The body of a loop counts once, and of
  branches the one with most FLOPs counts.
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
        # Each output sums over the kernel without its output channels.
        kernel = equation.invars[1].aval.shape
        channels = equation.params['dimension_numbers'].rhs_spec[0]
        total += 2 * out.size * math.prod(kernel) // kernel[channels]
      case 'dot_general':
        (contracted, _), _ = equation.params['dimension_numbers']
        shape = equation.invars[0].aval.shape
        total += 2 * out.size * math.prod(shape[axis] for axis in contracted)
  return total
