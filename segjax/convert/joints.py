r"""Functions between tensors of a source and variables here, both ways.

A `Joint` stands among the rules of a source. The rules give each tensor a path;
where no variable has that path, a joint makes of the tensor, alone or with
others, the variables that there are. The inverse writes them back. For the
attention of a source with a layer each for queries, keys and values:

  RULES = (
      (r'layer\.(\d+)\.attention\.(query|key|value)', r'block\1/\2'),
      *merged(r'block\d+', ('query', 'key', 'value'), 'qkv'),
  )
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Joint:
  """Variables of one module that are a function of several tensors.

  Attributes:
    module: pattern of the path of the module here; '' is the whole model.
    tensors: paths in the module that rules give to tensors. If some are no
      variables, the joint is left out where the source has none of those.
    variables: paths in the module of the variables that it fills.
    read: `read(*tensors)` returns a value for each of `variables`; a number
      stands for an array of that number.
    write: `write(*variables)` returns a value for each of `tensors`. It
      raises ValueError where these tensors cannot express the variables.
  """

  module: str
  tensors: tuple[str, ...]
  variables: tuple[str, ...]
  read: Callable[..., Sequence]
  write: Callable[..., Sequence]


def one(module, variable, read, write, tensor='') -> Joint:
  """Returns the joint of one tensor and one variable, here of the same name."""
  return Joint(
      module,
      (tensor or variable,),
      (variable,),
      lambda value: (read(value),),
      lambda value: (write(value),),
  )


def inverse_std(module: str, epsilon: float) -> Joint:
  """Returns the joint of `inv_std`, 1 / sqrt(var + epsilon), and `var`."""
  return one(
      module,
      'var',
      lambda inverse: 1 / np.square(np.float64(inverse)) - epsilon,
      lambda var: 1 / np.sqrt(np.float64(var) + epsilon),
      tensor='inv_std',
  )


def folded_norm(module: str, epsilon: float) -> Joint:
  """Returns the joint of a norm that has `scale` and `bias` alone there.

  Its statistics are folded into both. It is read as a mean of 0 and a variance
  of 1, over which the norm here adds its `epsilon`, and folded to be written.
  """

  def write(scale, bias, mean, var):
    std = np.sqrt((np.float64(var) + epsilon) / (1 + epsilon))
    return scale / std, bias - mean * scale / np.sqrt(np.float64(var) + epsilon)

  return Joint(
      module,
      ('scale', 'bias'),
      ('scale', 'bias', 'mean', 'var'),
      lambda scale, bias: (scale, bias, 0.0, 1.0),
      write,
  )


def bias_in_mean(module: str, conv: str = 'conv', norm: str = 'norm') -> Joint:
  """Returns the joint of a convolution's bias and the mean of its norm.

  A norm takes a bias in front of it away, so there is none here: the mean is
  less by it. It is written as 0.
  """
  return Joint(
      module,
      (f'{conv}/bias', f'{norm}/mean'),
      (f'{norm}/mean',),
      lambda bias, mean: (mean - bias,),
      lambda mean: (np.zeros_like(mean), mean),
  )


def constant(module: str, variable: str, number: float) -> Joint:
  """Returns the joint of a variable that is a constant in the source."""

  def write(value):
    if np.any(value != number):
      raise ValueError(
          f'it is not {number}, as the source has it, any more: train without'
          ' changing it'
      )
    return ()

  return Joint(module, (), (variable,), lambda: (number,), write)


def permuted(
    module: str, variable: str, order: Sequence[int], axis: int = -2
) -> Joint:
  """Returns the joint of a variable whose channels have another order.

  Args:
    module: see `Joint`.
    variable: its path in the module, such as 'kernel'.
    order: for each of `len(order)` equally large groups of channels here, its
      index there: (2, 1, 0) makes of BGR RGB.
    axis: axis of the channels, -2 for those that a kernel reads.
  """

  def move(value, order):
    groups = np.split(value, len(order), axis)
    return np.concatenate([groups[index] for index in order], axis)

  return one(
      module,
      variable,
      lambda value: move(value, order),
      lambda value: move(value, np.argsort(order)),
  )


def regrouped(
    module: str,
    variable: str,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    axis: int = -2,
) -> Joint:
  """Returns the joint of a variable whose channels are a transposed product.

  Args:
    module: see `Joint`.
    variable: its path in the module, such as 'kernel'.
    shape: factors of the channels there, one of them -1: (-1, 2, 2) where four
      pixels of a channel follow each other.
    axes: order of these factors here: (1, 2, 0) for the channels of each pixel.
    axis: axis of the channels, -2 for those that a kernel reads.
  """

  def move(value, shape, axes):
    last = np.moveaxis(value, axis, -1)
    ends = range(last.ndim - 1)
    turned = last.reshape(*last.shape[:-1], *shape).transpose(
        *ends, *(len(ends) + i for i in axes)
    )
    return np.moveaxis(turned.reshape(last.shape), -1, axis)

  back = tuple(shape[i] for i in axes)
  return one(
      module,
      variable,
      lambda value: move(value, shape, axes),
      lambda value: move(value, back, np.argsort(axes)),
  )


def flipped(module: str, variable: str, axes: tuple[int, ...]) -> Joint:
  """Returns the joint of a variable that is mirrored along `axes` there.

  (0, 1) is for kernels of a true convolution, which Theano computes.
  """

  def flip(value):
    return np.flip(value, axes)

  return one(module, variable, flip, flip)


def transposed(module: str, variable: str, axes: tuple[int, ...]) -> Joint:
  """Returns the joint of a variable with other axes there.

  Args:
    module: see `Joint`.
    variable: its path in the module; a `kernel` has the order of its axes from
      the layout of the source.
    axes: for each axis here, the axis there.
  """
  return one(
      module,
      variable,
      lambda value: value.transpose(axes),
      lambda value: value.transpose(np.argsort(axes)),
  )


def merged(
    module: str,
    layers: tuple[str, ...],
    layer: str,
    variables: tuple[str, ...] = ('kernel', 'bias'),
) -> tuple[Joint, ...]:
  """Returns the joints of layers whose outputs are those of one layer here.

  Args:
    module: see `Joint`.
    layers: names that the rules give them, ('query', 'key', 'value').
    layer: name here, 'qkv'. It has as many outputs of each.
    variables: what the layers have.
  """

  def merge(*parts):
    return (np.concatenate(parts, -1),)

  def split(whole):
    return np.split(whole, len(layers), -1)

  return tuple(
      Joint(
          module,
          tuple(f'{name}/{variable}' for name in layers),
          (f'{layer}/{variable}',),
          merge,
          split,
      )
      for variable in variables
  )


def split(
    module: str,
    layer: str,
    layers: tuple[str, ...],
    variables: tuple[str, ...] = ('kernel', 'bias'),
) -> tuple[Joint, ...]:
  """Returns the joints of one layer that is several here; see `merged`."""
  return tuple(
      Joint(j.module, j.variables, j.tensors, read=j.write, write=j.read)
      for j in merged(module, layers, layer, variables)
  )
