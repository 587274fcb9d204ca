"""Fills the variables of a model with the tensors of another framework."""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import operator
import re

from flax import traverse_util
import numpy as np

from segjax.convert.joints import Joint
from segjax.convert.layouts import LAYOUTS
from segjax.convert.layouts import reshape


def convert(state: dict, rules, template, layout: str = 'torch') -> dict:
  """Returns the variables of a model with the values of a state.

  Args:
    state: {name: array}, every tensor of the original.
    rules: see `segjax.convert.rules`.
    template: the variables of the model, or their shapes and types alone, as
      `jax.eval_shape(model.init, ...)` returns them.
    layout: key of `LAYOUTS`.

  Returns:
    A tree like `template` that holds NumPy arrays.

  Raises:
    ValueError: a tensor has no place, a variable has no or a second value, or
      a shape is wrong. The message lists all of these.
  """
  plan = Plan(state, rules, template, layout)
  problems = []
  read = _read(plan, state, problems)
  values = _originals(read, problems)
  expected = read.keys() | _join(plan, read, values, problems)
  filled = {}
  for path, variable in plan.variables.items():
    if path in values:
      try:
        value = reshape(values[path], path, variable.shape)
        filled[path] = np.asarray(value, variable.dtype)
      except ValueError as error:
        problems.append(error.args[0])
    elif path not in expected:
      problems.append(f'{path} {list(variable.shape)}: no tensor fills it')
  if problems:
    raise ValueError(
        'The state does not fit the model; give the rules of its source and'
        ' the fields it was trained with. Problems:\n  ' + '\n  '.join(problems)
    )
  return traverse_util.unflatten_dict(filled, sep='/')


def _read(plan, state, problems):
  """Returns {path: [(is alias, description, value), ...]} of all tensors.

  The list is empty where the shape of a tensor is wrong: that is one problem,
  and a variable that is not filled is no second one.
  """
  read = collections.defaultdict(list)
  for name, tensor in state.items():
    shown = f'{name} {list(np.shape(tensor))}'
    try:
      place = plan.locate(name, np.ndim(tensor))
      if place is not None:
        path, alias = place
        tensors = read[path]
        _check_numbers(np.asarray(tensor), plan.variables.get(path))
        # A joint may change the shape; what it returns is compared later.
        shape = None if path in plan.joined else plan.shape(path)
        value = plan.layout.read(np.asarray(tensor), path, shape)
        tensors.append((alias, shown, value))
    except (LookupError, ValueError) as error:
      problems.append(f'{shown}: {error.args[0]}')
  return read


def _check_numbers(tensor, variable):
  """Raises ValueError if the numbers of a tensor are none of a model.

  Args:
    tensor: array of the file.
    variable: that it fills, or None if a joint takes it.
  """
  kind = tensor.dtype.kind
  if kind in 'iub':
    if variable is None or not np.issubdtype(variable.dtype, np.integer):
      raise ValueError(
          f'it holds {tensor.dtype}, expected fractions: weights that were'
          ' quantised are converted before that, or from their dequantize()'
      )
    return
  if kind == 'c':
    raise ValueError(f'it holds {tensor.dtype}, expected real numbers')
  try:
    broken = int((~np.isfinite(tensor.astype(np.float32))).sum())
  except (TypeError, ValueError) as error:  # Such as bfloat16 in .npz.
    raise ValueError(
        f'it holds {tensor.dtype}, which NumPy does not know as numbers: save'
        ' it as float32'
    ) from error
  if broken:
    raise ValueError(f'{broken} of {tensor.size} numbers are NaN or infinite')


def _originals(read, problems):
  """Returns {path: value}; an alias only counts where there is nothing else."""
  values = {}
  for path, tensors in read.items():
    for alias, shown, value in sorted(tensors, key=operator.itemgetter(0)):
      if path not in values:
        values[path], first = value, shown
      elif not alias:
        problems.append(f'{shown}: {path} has a value already, from {first}')
      elif not np.array_equal(value, values[path]):
        problems.append(f'{shown}: differs from {first}, whose alias it is')
  return values


def _join(plan, read, values, problems):
  """Replaces values by what the joints make of them; returns their paths."""
  joined = set()
  for joint in plan.joints:
    if not joint.applies(read):
      continue
    joined.update(joint.variables)
    missing = [path for path in joint.tensors if path not in values]
    if missing:
      problems += [
          f'{path}: no tensor fills it, and {" and ".join(joint.variables)}'
          ' cannot do without'
          for path in missing
          if path not in read
      ]
      continue
    results = joint.read(*[values.pop(path) for path in joint.tensors])
    for path, value in zip(joint.variables, results, strict=True):
      if path in values:
        problems.append(f'{path}: both a tensor and a joint fill it')
      number = np.ndim(value) == 0
      values[path] = np.full(plan.shape(path), value) if number else value
  return joined


def export(variables, rules, shapes: dict, layout: str = 'torch') -> dict:
  """Returns variables as the state of another model: the inverse of `convert`.

  Args:
    variables: the variables of a model.
    rules: see `segjax.convert.rules`.
    shapes: {name: shape} of the tensors of such a state. Those that the rules
      drop, such as `num_batches_tracked`, are not in the result.
    layout: key of `LAYOUTS`.

  Raises:
    ValueError: no variable is for a tensor, no tensor for a variable, or their
      shapes do not fit. The message lists all of these.
  """
  plan = Plan(shapes, rules, variables, layout)
  values, places, problems = dict(plan.variables), {}, []
  for name, shape in shapes.items():
    try:
      place = plan.locate(name, len(shape))
      if place is not None:
        places[name] = place[0]
    except LookupError as error:
      problems.append(f'{name} {list(shape)}: {error.args[0]}')
  for joint in reversed(plan.joints):
    if not joint.applies(places.values()):
      continue
    given = [np.asarray(values.pop(path)) for path in joint.variables]
    try:
      for path, value in zip(joint.tensors, joint.write(*given), strict=True):
        values[path] = np.asarray(value, given[0].dtype)
    except ValueError as error:
      problems.append(f'{", ".join(joint.variables)}: {error.args[0]}')
  state = {}
  for name, path in places.items():
    shape = tuple(shapes[name])
    if path not in values:
      problems.append(f'{name} {list(shape)}: the model has no {path}')
      continue
    try:
      state[name] = plan.layout.write(np.asarray(values[path]), path, shape)
    except ValueError as error:
      problems.append(f'{name} {list(shape)}: {error.args[0]}')
  named = set(places.values())
  problems += [
      f'{path}: no tensor of the state is for it'
      for path in values
      if path not in named
  ]
  if problems:
    raise ValueError(
        'The variables and the names of the state do not fit. Problems:\n  '
        + '\n  '.join(problems)
    )
  return state


class Plan:
  """Where the tensors of a source go in a model.

  Attributes:
    layout: names and order of axes of the source.
    variables: {path: variable}; a path begins with the collection.
    joints: one for each module that a `Joint` of the rules is for.
    joined: the paths of the tensors that joints take.
  """

  def __init__(self, names, rules, template, layout):
    self.layout = LAYOUTS[layout]
    self.variables = traverse_util.flatten_dict(template, sep='/')
    self._rules = [
        (re.compile(rule[0]), *rule[1:])
        for rule in rules
        if not isinstance(rule, Joint)
    ]
    self._replaced = self.layout.replaced(names)
    self._paths = collections.defaultdict(list)
    for path in self.variables:
      self._paths[path.partition('/')[2]].append(path)
    self.joints = [
        bound
        for joint in rules
        if isinstance(joint, Joint)
        for bound in self._bind(joint)
    ]
    self.joined = {path for joint in self.joints for path in joint.tensors}

  def locate(self, name: str, rank: int) -> tuple[str, bool] | None:
    """Returns where a tensor goes, or None if it is dropped on purpose.

    Args:
      name: its name in the state, 'layer1.0.conv2.weight'.
      rank: how many axes it has.

    Returns:
      The path of its variable, 'params/stage1_0/conv2/conv/kernel', or of what
      a joint takes; and whether the name is an alias.

    Raises:
      LookupError: no rule, no variable or no single variable is for it.
    """
    if name in self._replaced:
      return None
    whole, module, leaf = self.layout.split(name)
    variables = self.layout.leaves.get(leaf)
    problem = 'no rule matches'
    for pattern, target, *mark in self._rules:
      if match := pattern.fullmatch(whole):
        ends = None  # The target is the variable.
      elif match := leaf and pattern.fullmatch(module):
        if target is not None and variables is None:
          problem = f'no layer is known to have a {leaf!r}'
          continue
        ends = variables
      else:
        continue
      if target is None or ends == ():
        return None
      return self._find(match.expand(target), ends, rank), bool(mark)
    raise LookupError(problem)

  def shape(self, path: str) -> tuple[int, ...]:
    """Returns the shape of a variable."""
    return np.shape(self.variables[path])

  def _find(self, target, ends, rank):
    """Returns the path of a variable, the one that `target` has of `ends`."""
    paths = [f'{target}/{end}' for end in ends] if ends else [target]
    found = [
        path
        for path in map(self._with_collection, paths)
        if path in self.variables or path in self.joined
    ]
    if len(found) > 1:  # Of a kernel and a scale, the scale has one axis.
      other = '/scale' if rank > 1 else '/kernel'
      found = [path for path in found if not path.endswith(other)]
    if len(found) != 1:
      what = f' with a {" or ".join(ends)}' if ends else ''
      number = 'no' if not found else 'more than one'
      raise LookupError(f'the model has {number} {target}{what}')
    return found[0]

  def _with_collection(self, path):
    """Returns the path of a variable of whichever collection has it."""
    found = self._paths.get(path, [path])
    if len(found) > 1:
      raise LookupError(
          f'{" and ".join(found)} are meant; name the collection in the rule'
      )
    return found[0]

  def _bind(self, joint):
    """Yields a joint for each module that it is for."""
    for path in list(self._paths):
      module, found, rest = f'/{path}'.rpartition(f'/{joint.variables[0]}')
      module = module.removeprefix('/')
      if not found or rest or not re.fullmatch(joint.module, module):
        continue
      tensors, variables = (
          [self._with_collection(f'{module}/{part}'.lstrip('/')) for part in of]
          for of in (joint.tensors, joint.variables)
      )
      if self.variables.keys() >= set(variables):
        absent = [path for path in tensors if path not in self.variables]
        yield BoundJoint(tensors, variables, absent, joint.read, joint.write)


@dataclasses.dataclass(frozen=True)
class BoundJoint:
  """A `Joint` for one module of a model, with whole paths.

  Attributes:
    tensors: paths of what it takes.
    variables: paths of what it fills.
    absent: those of `tensors` that are no variables.
    read: see `Joint`.
    write: see `Joint`.
  """

  tensors: list[str]
  variables: list[str]
  absent: list[str]
  read: Callable[..., Sequence]
  write: Callable[..., Sequence]

  def applies(self, paths) -> bool:
    """Returns whether a source that has tensors for `paths` has its own."""
    return not self.absent or any(path in paths for path in self.absent)


def rename(module: str, rules) -> str | None:
  """Returns the path here of a module there, or None if it is dropped.

  Raises:
    LookupError: no rule matches.
  """
  for rule in rules:
    if not isinstance(rule, Joint):
      pattern, target = rule[:2]
      if match := re.fullmatch(pattern, module):
        return None if target is None else match.expand(target)
  raise LookupError('no rule matches')
