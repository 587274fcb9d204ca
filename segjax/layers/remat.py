"""Blocks, whose results are kept, and which may be computed again for that.

A backward pass needs what the forward pass computed. With rematerialisation,
only the inputs of blocks are kept, and a block is computed once more when its
gradient is due: less memory for about a third more time,
https://arxiv.org/abs/1604.06174.
"""

import contextlib
import functools
import inspect

from flax import linen as nn

from segjax.kernels.barrier import barrier

_ON = False


@contextlib.contextmanager
def rematerialized(on=True):
  """Within it, what is traced keeps the inputs of blocks alone, if `on`."""
  global _ON
  before, _ON = _ON, on
  try:
    yield
  finally:
    _ON = before


def block(call):
  """Marks the `__call__` of a module as a block; outside of `nn.compact`.

  Its arguments are positional: an array, and maybe `train`.
  """
  names = list(inspect.signature(call).parameters)
  static = tuple(i for i, name in enumerate(names) if name == 'train')
  again = nn.remat(call, static_argnums=static)

  @functools.wraps(call)
  def chosen(self, *args):
    return barrier((again if _ON else call)(self, *args))

  return chosen
