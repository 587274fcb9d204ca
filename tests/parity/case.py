"""A case: how to compute with code of ours what a fixture holds."""

from collections.abc import Callable
import dataclasses
import functools
import math

from flax import linen as nn
import numpy as np

from tests.parity import forward
from tests.parity import reference


@dataclasses.dataclass(frozen=True)
class Case:
  """One forward pass in each mode of a model of ours.

  The names of outputs in train mode begin with 'train_'.
  """

  # From the fixture's spec to a module of ours, without dropout.
  build: Callable[[dict], nn.Module]
  rules: tuple
  # The fixture's name of an output, without 'train_' -> where it is:
  # `find(out, parts)`, with what the model returns and what its parts return,
  # by path ('backbone', 'aspp/image'); 'image' is what the model was given and
  # 'spec' the fixture's. An output that a fixture has in one mode alone is
  # looked for in that one alone.
  outputs: dict[str, Callable]
  # Paths of the parts that `outputs` looks at.
  parts: tuple[str, ...] = ()
  # Whether to compute in float64: places of pooling hang on the rounding of
  # nearly equal values, and what is unpooled there on the places.
  float64: bool = False
  # Whether to compile a pass as a whole. Of a network of very many layers that
  # are alike, compiling each operation that it has takes less time.
  whole: bool = True
  # From the image and the fixture's own inputs, whose names begin with 'in_',
  # and its 'salt', to what the module reads beside the image: {name of the
  # argument: array}.
  inputs: Callable = lambda image, given: {}
  # {name: seed} of random streams that the model draws from in train mode.
  streams: dict[str, int] = dataclasses.field(default_factory=dict)
  # Outputs that are not compared: an approximation computed them, or there is
  # nothing of ours that they could be compared with.
  uncompared: tuple[str, ...] = ()
  # Integer output -> the share of its values that may differ.
  differing: dict[str, float] = dataclasses.field(default_factory=dict)
  # Error that is allowed in train mode where the fixture has no table of its
  # own: more than this default if rounding alone changes outputs by more.
  within_train: float = 1e-2

  slow = True  # Networks take CPU seconds.

  def compute(self, spec, given):
    """Returns {name: array} as the fixture names them.

    Args:
      spec: of the fixture.
      given: {name: array}, inputs that the fixture has itself.
    """
    model, image = self.build(spec), reference.image(spec)
    fields = self.inputs(image, {**given, 'salt': spec['input']['salt']})
    variables = forward.fill(model, self.rules, spec, image, **fields)
    computed = {}
    for train, prefix in ((False, ''), (True, 'train_')):
      asked = [n for n in self.outputs if prefix + n in spec['outputs']]
      if not asked:
        continue
      out, parts, _ = forward.call(
          model,
          variables,
          image,
          train=train,
          parts=self.parts,
          streams=self.streams if train else {},
          float64=self.float64,
          whole=self.whole,
          **fields,
      )
      parts |= {'image': image, 'spec': spec}
      computed |= {prefix + n: self.outputs[n](out, parts) for n in asked}
    return _as_arrays(computed, spec)


@dataclasses.dataclass(frozen=True)
class ProcedureCase:
  """What is no single forward pass: several calls, or what they leave behind.

  A procedure makes its calls with `forward.call`, whose result holds what the
  model and its parts return and the variables after the call. After two calls
  in train mode, one after the other, they are

    first = forward.call(model, variables, image, train=True)
    second = forward.call(model, first.variables, image, train=True)
    second.variables['batch_stats']['norm']['mean']
  """

  # From the fixture's spec to what the procedure works with: a module of ours
  # or, without rules, anything.
  build: Callable
  # (model, variables, image, inputs of the fixture's own without 'in_') ->
  # {the fixture's name of an output, with 'train_' where it has it: array}.
  procedure: Callable[..., dict]
  # None: the fixture has no state, or the procedure fills the variables itself;
  # it is then given None.
  rules: tuple | None = None
  inputs: Callable = lambda image, given: {}
  uncompared: tuple[str, ...] = ()
  differing: dict[str, float] = dataclasses.field(default_factory=dict)
  # Whether its test runs with `-m slow` alone, as what takes CPU seconds does.
  slow: bool = True

  def compute(self, spec, given):
    """Returns {name: array} as the fixture names them; see `Case`."""
    model, image, variables = self.build(spec), None, None
    if spec['input']['shape'] is not None:
      image = reference.image(spec)
    if self.rules is not None:
      fields = self.inputs(image, given)
      variables = forward.fill(model, self.rules, spec, image, **fields)
    computed = self.procedure(model, variables, image, _without_prefix(given))
    return _as_arrays(computed, spec)


@dataclasses.dataclass(frozen=True)
class FunctionCase:
  """Pure functions of ours: losses, scores, search decoders.

  Such a fixture has its inputs with it, as arrays whose names begin with in_.
  """

  # The fixture's name of an output -> a function of {name without in_: array};
  # or several names -> a function that returns as many arrays.
  outputs: dict[str | tuple[str, ...], Callable]
  # Error that is allowed where the fixture has no table of its own.
  within: float = 1e-3
  uncompared: tuple[str, ...] = ()
  differing: dict[str, float] = dataclasses.field(default_factory=dict)
  slow: bool = False

  def compute(self, spec, given):
    """Returns {name: array} as the fixture names them; see `Case`."""
    given = _without_prefix(given)
    computed = {}
    for names, function in self.outputs.items():
      if isinstance(names, str):
        computed[names] = function(given)
      else:
        computed |= zip(names, function(given), strict=True)
    return _as_arrays(computed, spec)


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


def _without_prefix(given):
  return {name.removeprefix('in_'): array for name, array in given.items()}


def _as_arrays(computed, spec):
  """Outputs as NumPy arrays; a fixture writes a single number as [] or [1]."""
  arrays = {name: np.asarray(output) for name, output in computed.items()}
  for name, array in arrays.items():
    shape = spec['outputs'].get(name, array.shape)
    if array.size == 1 and math.prod(shape) == 1:
      arrays[name] = array.reshape(shape)
  return arrays
