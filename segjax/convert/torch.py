"""The engine that fills our variables from the state of a PyTorch model."""

import re

from flax import traverse_util
import numpy as np

# What becomes of a tensor, by the last part of its name and its rank: the
# collection and the name of our variable and, for each of its axes, the axis
# of the tensor. None: dropped on purpose.
LEAVES = {
    ('weight', 1): ('params', 'scale', (0,)),
    ('weight', 2): ('params', 'kernel', (1, 0)),  # [out, in]
    ('weight', 4): ('params', 'kernel', (2, 3, 1, 0)),  # [out, in, h, w]
    ('bias', 1): ('params', 'bias', (0,)),
    ('running_mean', 1): ('batch_stats', 'mean', (0,)),
    ('running_var', 1): ('batch_stats', 'var', (0,)),
    ('num_batches_tracked', 0): None,
}


def convert(state, rules, template):
  """Returns the variables of a model, filled from the state of another.

  Args:
    state: {name: array}, all entries of a PyTorch `state_dict`.
    rules: ((pattern, replacement), ...), see `segjax.convert.rules`.
    template: the model's variables, or their shapes and types alone, as
      `jax.eval_shape(model.init, ...)` returns them.

  Returns:
    A tree like `template` that holds NumPy arrays.

  Raises:
    ValueError: a tensor has no place, a variable has no or a second value, or
      a shape is wrong. The message lists all that is amiss.
  """
  variables = traverse_util.flatten_dict(template, sep='/')
  filled, problems = {}, []
  for name, tensor in state.items():
    shown = f'{name} {list(tensor.shape)}'
    try:
      place = locate(name, tensor.ndim, rules)
    except LookupError as error:
      problems.append(f'{shown}: {error.args[0]}')
      continue
    if place is None:
      continue
    path, axes = place
    if path not in variables:
      problems.append(f'{shown}: the model has no {path}')
    elif path in filled:
      problems.append(f'{shown}: {path} has a value already')
    else:
      value, wanted = np.transpose(tensor, axes), variables[path]
      filled[path] = np.asarray(value, wanted.dtype)
      if value.shape != wanted.shape:
        problems.append(
            f'{shown}: {path} would be {list(value.shape)}, the model has'
            f' {list(wanted.shape)}'
        )
  problems += [
      f'{path} {list(variable.shape)}: no tensor fills it'
      for path, variable in variables.items()
      if path not in filled
  ]
  if problems:
    raise ValueError(
        'The state does not fit the model; give the rules of its source and'
        ' the fields it was trained with. Amiss:\n  ' + '\n  '.join(problems)
    )
  return traverse_util.unflatten_dict(filled, sep='/')


def locate(name, rank, rules):
  """Returns where a tensor goes, or None if it is dropped on purpose.

  Args:
    name: its name in the state, 'layer1.0.conv2.weight'.
    rank: how many axes it has.
    rules: see `segjax.convert.rules`.

  Returns:
    The path of our variable, 'params/stage1_0/conv2/conv/kernel', and for each
    of its axes the axis of the tensor.

  Raises:
    LookupError: no rule matches the module, or no kind of leaf the tensor.
  """
  module, _, leaf = name.rpartition('.')
  path = rename(module, rules)
  if path is None:
    return None
  if (leaf, rank) not in LEAVES:
    raise LookupError(f'no layer is known to have a {leaf!r} of this rank')
  if LEAVES[leaf, rank] is None:
    return None
  collection, variable, axes = LEAVES[leaf, rank]
  return f'{collection}/{path}/{variable}', axes


def rename(module, rules):
  """Returns the path of a module here, or None; see `locate`."""
  for pattern, replacement in rules:
    if match := re.fullmatch(pattern, module):
      return None if replacement is None else match.expand(replacement)
  raise LookupError('no rule matches')
