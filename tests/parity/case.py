"""A case: how to compute with code of ours what a fixture holds."""

from collections.abc import Callable
import dataclasses
import functools

from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class Case:
  """How to compute with a model of ours what a fixture holds."""

  # From the fixture's spec to a module of ours, without dropout.
  build: Callable[[dict], nn.Module]
  rules: tuple
  # The fixture's name of an output -> where it is: `find(out, parts)`, with
  # what the model returns and what its parts return, by path ('backbone',
  # 'aspp/image'); 'image' is what the model was given.
  outputs: dict[str, Callable]
  # Paths of the parts that `outputs` looks at.
  parts: tuple[str, ...] = ()
  # Whether to compute in float64: places of pooling hang on the rounding of
  # nearly equal values, and what is unpooled there on the places.
  float64: bool = False
  # From the image and the fixture's own inputs, whose names begin with 'in_',
  # to what the module reads beside the image.
  inputs: Callable = lambda image, given: ()

  approximate = ()


@dataclasses.dataclass(frozen=True)
class FunctionCase:
  """How to compute with functions of ours what a fixture holds.

  Such a fixture has its inputs with it, as arrays whose names begin with in_.
  """

  # The fixture's name of an output -> a function of {name without in_: array}.
  outputs: dict[str, Callable]
  # Outputs that an approximation computed: to look at, not to equal.
  approximate: tuple[str, ...] = ()


def returned(*keys, first=None, every=None):
  """Finds channels of what the model returns under `keys`."""
  return lambda out, parts: _look(out, keys)[..., :first:every]


def inside(path, *keys, first=None, every=None):
  """Finds channels of what the part at `path` returns under `keys`.

  The first key of a part that is called more than once is the call's number.
  """
  return lambda out, parts: _look(parts[path], keys)[..., :first:every]


def _look(tree, keys):
  return functools.reduce(lambda node, key: node[key], keys, tree)
