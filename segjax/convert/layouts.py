"""How a framework names the tensors of a layer and orders a kernel's axes.

Kernels here are [..., in, out]. PyTorch, Caffe and MXNet have [out, in, ...];
TensorFlow and Keras have [..., in, out], and [h, w, C, M] of a depthwise
convolution where it is [h, w, 1, C * M] here. A package of `rules` names its
layout: `LAYOUT = 'keras'`; without that line it is 'torch'.
"""

from collections.abc import Mapping
import dataclasses
import math
import re
import types

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layout:
  """Names of tensors and the order of their axes.

  Attributes:
    form: regular expression for a name. Its group `whole` is the name that
      rules see; `module` and `leaf` are the layer and the tensor in it.
    leaves: {leaf: variables of a layer here that this tensor can be}; a leaf
      with no variables is dropped.
    out_first: whether kernels are [out, in, ...] there.
    average: ending of the names of moving averages. Where a tensor and its
      average are in a file, the average is read.
  """

  form: str
  leaves: Mapping[str, tuple[str, ...]]
  out_first: bool
  average: str = ''

  def split(self, name: str) -> tuple[str, str, str]:
    """Returns (whole, module, leaf) of a name; '' for what it lacks."""
    match = re.fullmatch(self.form, name)
    if match is None:
      return name, '', ''
    parts = match.groupdict(default='')
    return parts['whole'], parts.get('module', ''), parts['leaf']

  def replaced(self, names) -> set[str]:
    """Returns the names of tensors whose moving average is among the names."""
    if not self.average:
      return set()
    averaged = {n.replace(self.average, '') for n in names if self.average in n}
    return averaged & set(names)

  def read(
      self, tensor: np.ndarray, path: str, shape: tuple[int, ...] | None
  ) -> np.ndarray:
    """Returns a tensor as the variable at `path` has it.

    Args:
      tensor: as the source has it.
      path: path of the variable. One called `kernel` gets the order of axes
        that kernels have here; the axes of any other stay as they are.
      shape: shape of the variable; None if a `Joint` takes the tensor.

    Raises:
      ValueError: the shapes do not fit; says what the shape would be.
    """
    if not _is_kernel(path):
      return tensor if shape is None else reshape(tensor, path, shape)
    if shape is None:
      return tensor.transpose(self._axes(tensor.ndim))
    inverse = np.argsort(self._axes(len(shape)))
    there = tuple(shape[axis] for axis in inverse)
    if not self._fits(tensor.shape, there):
      axes = self._axes(tensor.ndim)
      raise _misfit(path, [tensor.shape[axis] for axis in axes], shape)
    return tensor.reshape(there).transpose(self._axes(len(shape)))

  def write(
      self, value: np.ndarray, path: str, shape: tuple[int, ...]
  ) -> np.ndarray:
    """Returns a variable as a tensor of `shape`; the inverse of `read`."""
    if not _is_kernel(path):
      return reshape(value, path, shape)
    there = value.transpose(np.argsort(self._axes(value.ndim)))
    if not self._fits(tuple(shape), there.shape):
      raise _misfit(path, there.shape, shape)
    return there.reshape(shape)

  def _axes(self, rank):
    """Returns for each axis of a kernel here the axis it is there."""
    if self.out_first and rank > 1:
      return (*range(2, rank), 1, 0)
    return tuple(range(rank))

  def _fits(self, shape, kernel):
    """Returns whether a reshape turns a tensor into a kernel.

    Args:
      shape: shape of the tensor.
      kernel: shape of the kernel here, in the order of axes there.
    """
    if shape == kernel:
      return True
    if min(len(shape), len(kernel)) < 2:
      return False
    if self.out_first:
      ends, sides = (shape[:2], kernel[:2]), (shape[2:], kernel[2:])
      flat = (kernel[0], math.prod(kernel[1:]))
    else:
      ends, sides = (shape[-2:], kernel[-2:]), (shape[:-2], kernel[:-2])
      flat = (math.prod(kernel[:-1]), kernel[-1])
    # A linear layer, and convolutions over one pixel, of whatever rank.
    if ends[0] == ends[1] and {1}.issuperset(sides[0] + sides[1]):
      return True
    # A linear layer over a flattened map is a convolution as large as the map.
    if shape == flat:
      return True
    depthwise = kernel[-2] == 1 and math.prod(ends[0]) == kernel[-1]
    return not self.out_first and depthwise and sides[0] == sides[1]


def reshape(value: np.ndarray, path: str, shape: tuple[int, ...]) -> np.ndarray:
  """Returns a value whose axes of size 1 are those of `shape`.

  Raises:
    ValueError: the other axes differ.
  """
  if [n for n in value.shape if n != 1] != [n for n in shape if n != 1]:
    raise _misfit(path, value.shape, shape)
  return value.reshape(shape)


def _is_kernel(path):
  return path.rpartition('/')[2] == 'kernel'


def _misfit(path, shape, wanted):
  return ValueError(
      f'{path} would be {list(shape)} and has to be {list(wanted)}'
  )


LAYOUTS = types.MappingProxyType(
    {
        'torch': Layout(
            form=r'(?P<whole>(?:(?P<module>.*)\.)?(?P<leaf>[^.]+))',
            leaves={
                'weight': ('kernel', 'scale', 'embedding', 'slope'),
                'bias': ('bias',),
                'running_mean': ('mean',),
                'running_var': ('var',),
                'num_batches_tracked': (),
                # nn.MultiheadAttention holds queries, keys and values in one.
                'in_proj_weight': ('qkv/kernel',),
                'in_proj_bias': ('qkv/bias',),
            },
            out_first=True,
        ),
        # Symbols have 'arg:conv0_weight' and 'aux:bn0_moving_var', Gluon has
        # 'conv0_weight' and 'bn0_running_var'.
        'mxnet': Layout(
            form=(
                r'(?:arg:|aux:)?(?P<whole>(?P<module>.*)_(?P<leaf>weight|bias'
                r'|gamma|beta|(?:moving|running)_(?:mean|var))|.*)'
            ),
            leaves={
                'weight': ('kernel', 'embedding'),
                'bias': ('bias',),
                'gamma': ('scale',),
                'beta': ('bias',),
                'moving_mean': ('mean',),
                'moving_var': ('var',),
                'running_mean': ('mean',),
                'running_var': ('var',),
            },
            out_first=True,
        ),
        # Keras and TensorFlow's slim: 'conv1/kernel:0', 'conv1/weights'.
        'keras': Layout(
            form=(
                r'(?P<whole>(?:(?P<module>.*?)/)?(?P<leaf>[^/]+?))'
                r'(?:/ExponentialMovingAverage)?(?::\d+)?'
            ),
            leaves={
                'kernel': ('kernel',),
                'weights': ('kernel',),
                'depthwise_kernel': ('kernel',),
                'depthwise_weights': ('kernel',),
                'pointwise_kernel': ('kernel',),
                'pointwise_weights': ('kernel',),
                'bias': ('bias',),
                'biases': ('bias',),
                'gamma': ('scale',),
                'beta': ('bias',),
                'moving_mean': ('mean',),
                'moving_variance': ('var',),
                'embeddings': ('embedding',),
            },
            out_first=False,
            average='/ExponentialMovingAverage',
        ),
    }
)
