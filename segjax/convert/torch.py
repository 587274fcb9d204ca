"""The engine that fills our variables from the state of a PyTorch model."""

import re

from flax import traverse_util
import numpy as np

CONV_AXES = (2, 3, 1, 0)  # [out, in, h, w]

# What becomes of a tensor, by the last part of its name and its rank: the
# collection and the name of our variable and, for each of its axes, the axis
# of the tensor. None: dropped on purpose.
LEAVES = {
    ('weight', 1): ('params', 'scale', (0,)),
    ('weight', 2): ('params', 'kernel', (1, 0)),  # [out, in]
    ('weight', 4): ('params', 'kernel', CONV_AXES),
    ('bias', 1): ('params', 'bias', (0,)),
    ('running_mean', 1): ('batch_stats', 'mean', (0,)),
    ('running_var', 1): ('batch_stats', 'var', (0,)),
    ('num_batches_tracked', 0): None,
    # nn.MultiheadAttention itself holds queries, keys and values, in one.
    ('in_proj_weight', 2): ('params', 'qkv/kernel', (1, 0)),
    ('in_proj_bias', 1): ('params', 'qkv/bias', (0,)),
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
      wanted = variables[path]
      if _reads_a_map(tensor.shape, wanted.shape):
        (rows, columns, into, out), axes = wanted.shape, CONV_AXES
        tensor = tensor.reshape(out, into, rows, columns)
      value = np.transpose(tensor, axes)
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


def _reads_a_map(weight, kernel):
  """Whether a linear layer is a convolution as large as the map it reads."""
  if (len(weight), len(kernel)) != (2, 4):
    return False
  rows, columns, into, out = kernel
  return weight == (out, into * rows * columns)


def export(variables, rules, ranks):
  """Returns variables as the state of another: the inverse of `convert`.

  Args:
    variables: of a model.
    rules: see `segjax.convert.rules`.
    ranks: {name: rank} of the entries of such a state. Those that the rules
      drop on purpose, such as `num_batches_tracked`, are not in the result.

  Raises:
    ValueError: an entry and no variable correspond, or the other way round.
  """
  left = traverse_util.flatten_dict(variables, sep='/')
  state, problems = {}, []
  for name, rank in ranks.items():
    try:
      place = locate(name, rank, rules)
    except LookupError as error:
      problems.append(f'{name}: {error.args[0]}')
      continue
    if place is None:
      continue
    path, axes = place
    if path in left and (rank, left[path].ndim) == (2, 4):
      kernel = np.transpose(left.pop(path), np.argsort(CONV_AXES))
      state[name] = kernel.reshape(len(kernel), -1)
    elif path not in left or left[path].ndim != rank:
      problems.append(f'{name}: the model has no {path} of rank {rank}')
    else:
      state[name] = np.transpose(left.pop(path), np.argsort(axes))
  problems += [f'{path}: it has no name there' for path in left]
  if problems:
    raise ValueError(
        'The variables and the names of the state do not fit. Amiss:\n  '
        + '\n  '.join(problems)
    )
  return state


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
  if (leaf, rank) in LEAVES:
    path, kind = rename(module, rules), LEAVES[leaf, rank]
    if path is None or kind is None:
      return None
    collection, variable, axes = kind
    return f'{collection}/{path}/{variable}', axes
  try:  # A parameter of no such layer has a rule of its own and stays as it is.
    path = rename(name, rules)
  except LookupError:
    if rename(module, rules) is None:
      return None
    raise LookupError(
        f'no layer is known to have a {leaf!r} of this rank'
    ) from None
  return None if path is None else (f'params/{path}', tuple(range(rank)))


def rename(module, rules):
  """Returns the path of a module or parameter here, or None; see `locate`."""
  for pattern, replacement in rules:
    if match := re.fullmatch(pattern, module):
      return None if replacement is None else match.expand(replacement)
  raise LookupError('no rule matches')
