"""What a backbone returns and holds, without computing it."""

import jax
import numpy as np

from segjax import backbones


def shapes(name, image=(1, 64, 64, 3), **fields):
  """Features and variables of `backbones.build(name, **fields)`, as shapes."""
  return jax.eval_shape(
      backbones.build(name, **fields).init_with_output,
      jax.random.key(0),
      jax.ShapeDtypeStruct(image, np.float32),
  )
