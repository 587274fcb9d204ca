"""Auto-DeepLab, https://arxiv.org/abs/1901.02985.

A network that was found by search: its cells, and the path that they take
through four scales. `cell` and `levels` say which, so that the results of
another search, of `autodeeplab_search`, are trained as fields of this model;
the defaults are what the authors published. Their code (tensorflow/models) has
`features` of 20, 32 and 48 for Auto-DeepLab-S, M and L. NoamRosenberg's port is
`port=True` with the `cell` and the `levels` of its own, `PORT_CELL` and
`PORT_LEVELS`; it has `activated=True, affine=False` by default. Checked against
both.
"""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.aspp import ASPP
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import conv
from segjax.layers.conv import he_fan_in
from segjax.layers.dropout import ScheduledDropPath
from segjax.layers.norm import BatchNorm
from segjax.layers.operations import KNOWN
from segjax.layers.operations import AtrousConv
from segjax.layers.operations import Project
from segjax.layers.operations import SeparableConvs
from segjax.layers.operations import pool3
from segjax.ops.resize import resize

# Of each block two pairs (state, operation). States 0 and 1 are the outputs of
# the cell before last and of the last cell, and those from 2 on the blocks.
CELL = (
    *((0, 'atrous5'), (1, 'sep3')),
    *((0, 'sep3'), (1, 'atrous3')),
    *((3, 'sep3'), (0, 'sep3')),
    *((4, 'sep5'), (2, 'sep5')),
    *((3, 'sep5'), (5, 'atrous5')),
)
LEVELS = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
# The port gives the two operations of its last block to the states in their
# order, not to those that its list names.
PORT_CELL = (
    *((0, 'dil5'), (1, 'sep3')),
    *((0, 'sep3'), (1, 'dil3')),
    *((0, 'sep3'), (3, 'sep3')),
    *((2, 'sep5'), (4, 'sep5')),
    *((4, 'dil5'), (5, 'sep5')),
)
PORT_LEVELS = (1, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)


class Operation(nn.Module):
  """One of the operations of `KNOWN` but 'none'."""

  operation: str
  stride: int
  port: bool
  affine: bool
  activated: bool
  norm: functools.partial

  @nn.compact
  def __call__(self, x, train):
    kind, stride = self.operation, self.stride
    norm = functools.partial(
        self.norm, use_scale=self.affine, use_bias=self.affine
    )
    if kind.startswith('sep'):
      padding = None if self.port else 'SAME'
      return SeparableConvs(int(kind[-1]), stride, padding, norm, name='conv')(
          x, train
      )
    if kind in ('max3', 'avg3'):
      return pool3(kind, x, stride)
    if kind == 'skip':
      if stride == 1:
        return x
      return Project(x.shape[-1], stride, norm, name='conv')(x, train)
    if stride > 1:
      x = resize(x, _scaled(x, 0.5), align_corners=True)
    if self.activated:
      norm = functools.partial(norm, absolute_scale=self.affine)
    return AtrousConv(
        int(kind[-1]),
        2 if stride == 1 else 1,
        kind.startswith('dil'),
        norm,
        nn.leaky_relu if self.activated else None,
        name='conv',
    )(x, train)


class Cell(nn.Module):
  """Figure 1: blocks that add up two operations each, concatenated."""

  features: int
  cell: tuple[tuple[int, str], ...]
  move: int  # To a finer scale, -1, to a coarser one, 1, or neither, 0.
  drop: float  # See `ScheduledDropPath`.
  port: bool
  affine: bool
  activated: bool
  norm: functools.partial

  @remat.block
  @nn.compact
  def __call__(self, before, last, progress, train):
    """Returns [B, h, w, blocks * features].

    Args:
      before: output of the cell before last.
      last: output of the last cell.
      progress: share of the training that is done, [].
      train: whether norms take statistics from the batch.
    """
    if self.move < 0 or self.move and self.port:
      factor = 2 if self.move < 0 else 0.5
      size = _scaled(last, factor, even=self.port)
      last = resize(last, size, align_corners=True)
    before = resize(before, last.shape[1:3], align_corners=True)
    norm, act = self.norm, None
    if self.activated:
      norm = functools.partial(norm, absolute_scale=True)
      act = nn.leaky_relu
    project = functools.partial(Project, self.features, norm=norm, act=act)
    if before.shape[-1] != self.features:
      before = project(name='before')(before, train)
    states = [before, project(name='last')(last, train)]
    for i in range(len(self.cell) // 2):
      total = 0
      for side, (state, kind) in zip(
          ('left', 'right'), self.cell[2 * i : 2 * i + 2], strict=True
      ):
        strided = self.move > 0 and not self.port and state < 2
        y = Operation(
            kind,
            2 if strided else 1,
            self.port,
            self.affine,
            self.activated,
            self.norm,
            name=f'block{i}_{side}',
        )(states[state], train)
        if kind != 'skip':
          y = ScheduledDropPath(self.drop)(y, progress, train)
        total += y
      states.append(total)
    return jnp.concatenate(states[2:], -1)


def _scaled(x, factor, even=False):
  """Returns the size of features [B, h, w, C] after scaling.

  Args:
    x: the features.
    factor: 2 or 0.5.
    even: whether even sides are multiplied by the factor; all others keep the
      centres of the corner pixels.
  """
  return tuple(
      int(side * factor)
      if even and side % 2 == 0
      else int((side - 1) * factor) + 1
      for side in x.shape[1:3]
  )


class Model(nn.Module):
  """Stem, cells along the path, ASPP and the decoder of DeepLabv3+."""

  num_classes: int
  features: int = 20  # Of each block of a cell at stride 4: F in the paper.
  levels: tuple[int, ...] = LEVELS  # Of each cell, 0 for stride 4.
  cell: tuple[tuple[int, str], ...] = CELL
  low: int = 2  # The cell whose output the decoder joins.
  stem_features: int = 128
  head_features: int = 256
  low_features: int = 48
  rates: tuple[int, ...] = (6, 12, 18)  # Of ASPP.
  momentum: float = 0.9997  # See `BatchNorm`.
  dropout: tuple[float, float] = (0.0, 0.0)  # Behind the last convolutions.
  drop_path: float = 0.0  # Of the last cell, at the end of training.
  port: bool = False  # Builds what NoamRosenberg's port builds.
  activated: bool = False  # Leaky ReLU behind norms, in the port alone.
  affine: bool = True  # Whether norms of operations have scale and bias.

  reads = ('image',)
  train_reads = ('image', 'progress')

  def check(self):
    """Raises ValueError unless levels and cell are those of a network."""
    before = (0, *self.levels)[: len(self.levels)]
    moves = [b - a for a, b in zip(before, self.levels, strict=True)]
    if not self.levels or max(map(abs, moves)) > 1 or min(self.levels) < 0:
      raise ValueError(
          f'levels={self.levels}: give the level of each cell, from 0 on; the'
          ' first is 0 or 1, and each differs from the one before by 1 at most.'
      )
    if max(self.levels) > 3:
      raise ValueError(f'levels={self.levels}: the coarsest is 3.')
    if not self.cell or len(self.cell) % 2:
      raise ValueError(f'cell={self.cell}: give two pairs for each block.')
    for i, (state, kind) in enumerate(self.cell):
      if kind not in KNOWN[1:] or not 0 <= state < 2 + i // 2:
        raise ValueError(
            f'cell[{i}]={(state, kind)}: block {i // 2} reads states 0 to'
            f' {1 + i // 2}, and operations are {", ".join(KNOWN[1:])}.'
        )
    if not 0 <= self.low < len(self.levels):
      raise ValueError(
          f'low={self.low}: there are cells 0 to {len(self.levels) - 1}.'
      )

  @nn.compact
  def __call__(self, image, progress=0.0, *, train=False):
    self.check()
    progress = jnp.float32(progress)
    # TensorFlow's norms of the encoder have another epsilon.
    epsilon = 1e-5 if self.port else 1e-3
    norm = functools.partial(BatchNorm, momentum=self.momentum, epsilon=epsilon)
    before, last = self.stem(image, norm, train)
    scale = 0
    for i, level in enumerate(self.levels):
      cell = Cell(
          self.features * 2**level,
          tuple(map(tuple, self.cell)),
          level - scale,
          self.drop_path * (i + 1) / len(self.levels),
          self.port,
          self.affine,
          self.activated,
          norm,
          name=f'cell{i}',
      )
      before, last = last, cell(before, last, progress, train)
      scale = level
      if i == self.low:
        low = last
    head = functools.partial(BatchNorm, momentum=self.momentum)
    x = last if self.port else nn.relu(last)
    x = self.aspp(head)(x, train)
    block = functools.partial(ConvNormAct, norm=head, init=he_fan_in)
    low = block(self.low_features, kernel=1, name='low')(low, train)
    x = resize(x, low.shape[1:3], align_corners=True)
    x = jnp.concatenate([x, low], -1)
    for i, rate in enumerate(self.dropout):
      x = block(self.head_features, name=f'decode{i}')(x, train)
      x = nn.Dropout(rate)(x, deterministic=not train)
    x = conv(self.num_classes, 1, bias=True, init=he_fan_in, name='classifier')(
        x
    )
    return {
        'logits': resize(x, image.shape[1:3], align_corners=True),
        'aux': {},
    }

  def stem(self, image, norm, train):
    """Returns features at strides 2 and 4."""
    if not self.port:
      act, bias, padding = None, False, 'SAME'
    elif self.activated:
      norm = functools.partial(norm, absolute_scale=True)
      act, bias, padding = nn.leaky_relu, True, None
    else:
      act, bias, padding = nn.relu, True, None
    layer = functools.partial(
        ConvNormAct,
        norm=norm,
        act=act,
        bias=bias,
        padding=padding,
        init=he_fan_in,
    )
    between = (lambda x: x) if self.port else nn.relu
    half = self.stem_features // 2
    x = layer(half, stride=2, name='stem0')(image, train)
    before = layer(half, name='stem1')(between(x), train)
    last = layer(self.stem_features, stride=2, name='stem2')(
        between(before), train
    )
    return before, last

  def aspp(self, norm):
    """Returns the module that looks at the surroundings."""
    act = nn.relu
    if self.activated:
      # The port means 3e-4 to be the momentum, and passes it as the epsilon.
      norm = functools.partial(norm, absolute_scale=True, epsilon=3e-4)
      act = nn.leaky_relu
    return ASPP(
        self.head_features,
        self.rates,
        image_first=not self.port,
        norm=norm,
        image_norm=norm,
        act=act,
        name='aspp',
    )
