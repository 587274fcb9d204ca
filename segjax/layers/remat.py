"""Rematerialisation of blocks: recomputes activations to save memory.

The backward pass needs the activations of the forward pass. With
rematerialisation only the inputs of blocks are stored, and a block is computed
a second time when its gradient is computed: this takes less memory and about a
third more time, https://arxiv.org/abs/1604.06174.
"""

import contextlib
import functools
import inspect

from flax import linen as nn

from segjax.kernels.barrier import barrier

_ON = False


@contextlib.contextmanager
def rematerialized(on: bool = True):
  """Turns rematerialisation on or off for functions that are traced within."""
  global _ON
  previous, _ON = _ON, on
  try:
    yield
  finally:
    _ON = previous


def block(call):
  """Decorates the `__call__` of a module that may be rematerialised.

  Write it above `nn.compact`. The arguments of `__call__` are positional:
  arrays and, at the end, `train` or nothing. A barrier keeps XLA from fusing
  the block with the next one.
  """
  names = list(inspect.signature(call).parameters)
  static = tuple(i for i, name in enumerate(names) if name == 'train')
  rematerialized_call = nn.remat(call, static_argnums=static)

  @functools.wraps(call)
  def call_block(self, *args):
    return barrier((rematerialized_call if _ON else call)(self, *args))

  return call_block
