"""FasterSeg, https://arxiv.org/abs/1912.10917.

A fast network that was found by search: branches of cells that end at strides
16 and 32 and begin with the same cells, joined at stride 8. `branches` says
which operation, scale and width each cell has, so that what another search,
`fasterseg_search`, finds is trained as fields of this model; the defaults are
the student that the authors published. Their teacher, `TEACHER`, is trained
before, with `role='teacher'`; the student then learns from its probabilities,
with `teacher=TEACHER`. As the authors' code (VITA-Group/FasterSeg) builds both,
and checked against it.
"""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import he_fan_in
from segjax.layers.head import FCNHead
from segjax.layers.norm import BatchNorm
from segjax.ops.reduce import mean_over
from segjax.ops.resize import resize

# In the order of the search.
OPERATIONS = ('skip', 'conv', 'conv_downup', 'conv_2x', 'conv_2x_downup')

# Of each branch the operations and the scales of its cells, 0 for stride 8, and
# the widths behind them, in twelfths, but for the last cell.
Branch = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
STUDENT = (
    (
        (3, 3, 4, 2, 4, 4, 4, 4, 4, 4),
        (0, 0, 0, 0, 1, 1, 1, 1, 2, 2),
        (4, 4, 4, 8, 4, 4, 4, 4, 4),
    ),
    (
        (3, 3, 4, 4, 3, 3, 4, 4, 4),
        (0, 0, 0, 0, 0, 0, 1, 1, 1),
        (4, 4, 4, 4, 4, 4, 4, 12),
    ),
)
TEACHER = (
    (
        (2, 4, 4, 4, 4, 4, 4, 2, 4, 4, 4, 4, 4, 4, 3, 3),
        (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2),
        (12,) * 15,
    ),
    (
        (2, 4, 4, 4, 4, 3, 4, 2, 4, 4, 4, 4, 4, 4, 4, 4),
        (0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        (12,) * 15,
    ),
)


class Operation(nn.Module):
  """One of `OPERATIONS`; those with 'downup' work at half of the size."""

  operation: str
  features: int
  stride: int = 1
  # Whether a skip at stride 1 projects its input, as it does in the search.
  project: bool = False

  @remat.block
  @nn.compact
  def __call__(self, x, train):
    if self.operation == 'skip':
      return self.skip(x, train)
    size, stride, last = x.shape[1:3], self.stride, nn.relu
    downup = self.operation.endswith('downup')
    if downup:
      half = tuple(max(side // 2, 1) for side in size)
      x, stride = resize(x, half, align_corners=True), 1
      last = None  # ReLU comes after resizing.
    layers = 2 if '2x' in self.operation else 1
    for i in range(1, layers + 1):
      x = ConvNormAct(
          self.features,
          stride=stride if i == 1 else 1,
          act=nn.relu if i < layers else last,
          init=he_fan_in,
          name=f'conv{i}',
      )(x, train)
    if not downup:
      return x
    if self.stride == 1:
      x = resize(x, size, align_corners=True)
    return nn.relu(x)

  def skip(self, x, train):
    """Returns the input, or half of its size from two grids of pixels."""
    if self.stride == 1:
      if not self.project:
        return x
      return ConvNormAct(self.features, kernel=1, init=he_fan_in, name='conv1')(
          x, train
      )
    conv = functools.partial(
        ConvNormAct,
        self.features // 2,
        kernel=1,
        stride=2,
        norm=None,
        act=None,
        init=he_fan_in,
    )
    # Zeros beyond the border make the second grid as large as the first.
    shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
    x = jnp.concatenate(
        [conv(name='conv1')(x, train), conv(name='conv2')(shifted, train)], -1
    )
    return nn.relu(BatchNorm(train, name='norm')(x))


def shared(branches: tuple[Branch, ...]) -> list[list[list[int]]]:
  """Returns which branches share their cell in each layer.

  Branches share cells from the first one on, up to where operation, width or
  the scale of the next cell differ. The last cell of a branch is its own.

  Args:
    branches: see `Model`.

  Returns:
    For each layer groups of branches.
  """
  together = {(i, j): True for j in range(len(branches)) for i in range(j)}

  def cell(branch, layer):
    operations, scales, widths = branch
    if layer + 1 >= len(scales):
      return None
    return operations[layer], scales[layer + 1], widths[layer]

  layers = []
  for layer in range(max(len(scales) for _, scales, _ in branches)):
    groups = []
    for j, branch in enumerate(branches):
      for i in range(j):
        same = cell(branches[i], layer) == cell(branch, layer) is not None
        together[i, j] &= same
      if layer >= len(branch[1]):
        continue
      for group in groups:
        if together[group[0], j]:
          group.append(j)
          break
      else:
        groups.append([j])
    layers.append(groups)
  return layers


class Network(nn.Module):
  """Figure 2: branches with a common beginning, and heads."""

  num_classes: int
  features: int
  branches: tuple[Branch, ...]
  stem_width: int
  head_width: int

  def channels(self, scale, width):
    """Returns the channels at stride 8 * 2^scale, for a width in twelfths."""
    return round(self.features * 8 * 2**scale * width / 12)

  @nn.compact
  def __call__(self, image, train):
    """Returns {stride of the map: scores [B, h, w, num_classes]}."""
    first, second = (
        2 * round(self.features * width * self.stem_width / 12)
        for width in (2, 4)
    )
    x = ConvNormAct(first, stride=2, init=he_fan_in, name='stem0')(image, train)
    x = Operation('conv_2x', second, 2, name='stem1')(x, train)
    x = Operation(
        'conv_2x', self.channels(0, self.stem_width), 2, name='stem2'
    )(x, train)
    now = [x] * len(self.branches)
    newest = [{0: x} for _ in self.branches]  # Of each scale.
    for layer, groups in enumerate(shared(self.branches)):
      for group in groups:
        operations, scales, widths = self.branches[group[0]]
        last = layer == len(scales) - 1
        scale = scales[layer] if last else scales[layer + 1]
        width = self.head_width if last else widths[layer]
        x = Operation(
            OPERATIONS[operations[layer]],
            self.channels(scale, width),
            1 if scale == scales[layer] else 2,
            name=f'cell{layer}_{group[0]}',
        )(now[group[0]], train)
        for branch in group:
          now[branch] = newest[branch][scale] = x
    fine = [self.decode(maps, train) for maps in newest]
    x = jnp.concatenate(fine, -1)
    x = ConvNormAct(x.shape[-1], kernel=1, init=he_fan_in, name='fuse')(
        x, train
    )
    scores = {8: self.head(x, 'head8', train)}
    for scale in (1, 2):
      maps = [m[scale] for m in newest if scale in m]
      if maps:
        maps = [resize(y, maps[0].shape[1:3], align_corners=True) for y in maps]
        stride = 8 * 2**scale
        x = jnp.concatenate(maps, -1)
        scores[stride] = self.head(x, f'head{stride}', train)
    return scores

  def decode(self, maps, train):
    """Returns features at stride 8 from the maps of a branch, by scale."""
    end = max(maps)
    x = maps[end]
    for scale in range(end - 1, -1, -1):
      features, name = self.channels(scale, self.head_width), f'{end}_{scale}'
      x = ConvNormAct(features, kernel=1, init=he_fan_in, name=f'arm{name}')(
          x, train
      )
      x = resize(x, maps[scale].shape[1:3], align_corners=True)
      x = jnp.concatenate([x, maps[scale]], -1)
      x = ConvNormAct(features, init=he_fan_in, name=f'refine{name}')(x, train)
    return x

  def head(self, x, name, train):
    """Returns scores of classes."""
    channels = x.shape[-1]
    features = channels if channels <= 256 else channels // 2
    conv = functools.partial(ConvNormAct, init=he_fan_in)
    return FCNHead(self.num_classes, 0.0, features, conv, name=name)(x, train)


class Model(nn.Module):
  """The network, and the teacher that it learns from in training.

  'teacher_logits' of the outputs, in training with a teacher alone, are what
  the teacher says, [B, H, W, K]; it is not trained.
  """

  num_classes: int
  features: int = 12  # Channels at full width and stride 1.
  branches: tuple[Branch, ...] = STUDENT
  stem_width: int = 8  # In twelfths, as the next.
  head_width: int = 8
  role: str = 'student'  # Name of the network: 'student' or 'teacher'.
  teacher: tuple[Branch, ...] = ()  # The teacher's branches, at full width.

  @property
  def multiple(self):
    return 32

  @nn.compact
  def __call__(self, image, *, train=False):
    check(self.branches)
    if self.role not in ('student', 'teacher'):
      raise ValueError(
          f"role={self.role!r} is not one of 'student' and 'teacher'."
      )
    if self.teacher and self.role == 'teacher':
      raise ValueError('A teacher learns from no other: set teacher=().')

    def enlarge(scores):
      return resize(scores, image.shape[1:3], align_corners=True)

    scores = Network(
        self.num_classes,
        self.features,
        self.branches,
        self.stem_width,
        self.head_width,
        name=self.role,
    )(image, train)
    outputs = {
        'logits': enlarge(scores.pop(8)),
        'aux': {str(k): enlarge(v) for k, v in scores.items()},
    }
    if self.teacher:
      check(self.teacher)
      teacher = Network(
          self.num_classes, self.features, self.teacher, 12, 12, name='teacher'
      )
      # In evaluation the teacher only has to have its variables.
      logits = enlarge(teacher(image, False)[8])
      if train:
        outputs['teacher_logits'] = jax.lax.stop_gradient(logits)
    return outputs


def check(branches: tuple[Branch, ...]) -> None:
  """Raises ValueError unless branches are those of a network."""
  for i, (operations, scales, widths) in enumerate(branches):
    cells = len(scales)
    if not cells == len(operations) == len(widths) + 1:
      raise ValueError(
          f'Branch {i} has {len(operations)} operations, {cells} scales and'
          f' {len(widths)} widths: give as many scales as operations, and one'
          ' width less.'
      )
    steps = [b - a for a, b in zip(scales, scales[1:], strict=False)]
    if scales[0] or not {0, 1}.issuperset(steps) or scales[-1] > 2:
      raise ValueError(
          f'Branch {i} has the scales {scales}: they begin with 0, end with 2'
          ' at most, and each is that of the cell before or one more.'
      )
    if not set(range(len(OPERATIONS))).issuperset(operations):
      raise ValueError(
          f'Branch {i} has the operations {operations}: they are numbers of'
          f' {", ".join(OPERATIONS)}, from 0 on.'
      )


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    distillation_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the divergence of the student's probabilities from the teacher's.

  It is the mean over all numbers, of pixels and classes, and ignored pixels
  count. Without a teacher nothing is added.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task.
    distillation_weight: factor of the added term.
  """
  total, parts = base(out, batch, rng)
  if 'teacher_logits' not in out:
    return total, parts
  teacher = jax.nn.log_softmax(out['teacher_logits'])
  student = jax.nn.log_softmax(out['logits'])
  divergence = jnp.exp(teacher) * (teacher - student)
  term = mean_over(divergence.sum(), divergence.size)
  total += distillation_weight * term
  return total, {**parts, 'distillation': term}
