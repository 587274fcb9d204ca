"""The search of FasterSeg, https://arxiv.org/abs/1912.10917.

A network of all operations and paths at once, on three scales, for two
architectures that share its cells: a teacher at full width, and a student whose
widths are sampled and whose expected latency is a part of the loss. Gradient
descent learns both in turns with the weights and from other images, see
`config.optim.groups` and `config.dataset.by_turn`; `decode` reads the networks
off them that `fasterseg` then trains. As the authors' code
(VITA-Group/FasterSeg) builds it, and checked against it. Its factor of the
latency changes with the speed of what is found so far; here it is constant.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers import remat
from segjax.layers.conv import ConvNormAct
from segjax.layers.conv import he_fan_in
from segjax.layers.head import FCNHead
from segjax.layers.slimmable import Slim
from segjax.layers.slimmable import Width
from segjax.layers.slimmable import WidthNorm
from segjax.layers.slimmable import counts
from segjax.layers.slimmable import mask
from segjax.ops.resize import resize
from segjax.ops.targets import shrink_label

OPERATIONS = ('skip', 'conv', 'conv_downup', 'conv_2x', 'conv_2x_downup')
SCALES = 3  # Strides 8, 16 and 32.
HEADS = ('head0', 'head1', 'head2', 'head02', 'head12')


class Operation(nn.Module):
  """One of `OPERATIONS` at any width."""

  operation: str
  features: int
  stride: int
  widths: tuple[int, ...]
  inputs: int = 1  # See `WidthNorm`.

  @nn.compact
  def __call__(self, x, width, train):
    if self.operation == 'skip':
      return self.skip(x, width, train)
    size, stride = x.shape[1:3], self.stride
    downup = self.operation.endswith('downup')
    if downup:
      # Down, odd sides are rounded as by the other operations.
      odd = 1 if self.stride == 2 else 0
      half = tuple(max((side + odd) // 2, 1) for side in size)
      x, stride = resize(x, half, align_corners=True), 1
    layers = 2 if '2x' in self.operation else 1
    for i in range(1, layers + 1):
      x = Slim(
          self.features,
          self.widths,
          stride=stride if i == 1 else 1,
          name=f'conv{i}',
      )(x, width)
      x = WidthNorm(self.widths, self.inputs, name=f'norm{i}')(x, width, train)
      if i < layers:
        x = nn.relu(x)
    if downup and self.stride == 1:
      x = resize(x, size, align_corners=True)
    return nn.relu(x)

  def skip(self, x, width, train):
    """Projects the input and, at stride 2, reads two grids of pixels."""
    features = self.features // self.stride
    conv = functools.partial(
        Slim, features, self.widths, kernel=1, stride=self.stride
    )
    y = conv(name='conv1')(x, width)
    if self.stride == 2:
      shifted = jnp.pad(x[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
      y = jnp.concatenate([y, conv(name='conv2')(shifted, width)], -1)
      # The channels of both that the width has come first.
      count = jnp.array(counts(features, self.widths))[width.index]
      place = jnp.arange(self.features)
      source = jnp.where(place < count, place, features - count + place)
      y = jnp.take(y, source, axis=-1, mode='clip')
      y *= mask(self.features, self.widths, width).astype(y.dtype)
    return nn.relu(
        WidthNorm(self.widths, self.inputs, name='norm')(y, width, train)
    )


class Mixture(nn.Module):
  """The sum of all operations, weighted by `alphas` [operations]."""

  features: int
  stride: int
  widths: tuple[int, ...]
  inputs: int

  @remat.block
  @nn.compact
  def __call__(self, x, alphas, read, write, train):
    """Returns [inputs * B, h, w, features].

    Args:
      x: [inputs * B, H, W, C], with zeros beyond its width.
      alphas: weights of the operations.
      read: width of x.
      write: width of the result.
      train: whether norms take statistics from the batch.
    """
    total = 0
    for i, name in enumerate(OPERATIONS):
      operation = Operation(
          name,
          self.features,
          self.stride,
          self.widths,
          self.inputs,
          name=name,
      )
      total += alphas[i].astype(x.dtype) * operation(x, write, train)
    return total * jnp.asarray(read.score * write.score, x.dtype)


class Network(nn.Module):
  """Stems and heads of both architectures, and the cells that they share."""

  num_classes: int
  layers: int
  features: int
  widths: tuple[int, ...]

  def channels(self, scale, width=12):
    """Returns the channels at stride 8 * 2^scale, for a width in twelfths."""
    return round(self.features * 8 * 2**scale * width / 12)

  @nn.compact
  def __call__(self, image, role, ends, alphas, betas, widths, train):
    """Returns {head: scores [B, h, w, num_classes] at stride 8}.

    Args:
      image: [B, H, W, C].
      role: 'teacher' or 'student'.
      ends: width of stem and heads, in twelfths.
      alphas: of each scale the weights of operations, [cells, operations].
      betas: of each scale but the first the weights of what comes from the
        finer and from the same scale, [cells, 2].
      widths: of each scale a list of `Width`.
      train: whether norms take statistics from the batch.
    """
    if self.is_initializing() and role == 'student':
      # The teacher's own parts, without the cells that it shares.
      self.stem(image, 'teacher', 12, train)
      sides = [(1, 4 >> s, 4 >> s, self.channels(s)) for s in range(SCALES)]
      self.heads([jnp.zeros(side) for side in sides], 'teacher', 12, train)
    x = self.stem(image, role, ends, train)
    end = Width(self.widths.index(ends))
    before = [(_filled(x, self.channels(0)), None)]  # Same size, and half.
    for layer in range(self.layers):
      now = []
      for scale in range(min(layer + 1, SCALES)):
        read, keep, down = cell_widths(layer, scale, self.layers, widths, end)
        given = []
        if scale:
          given.append(before[scale - 1][1])
        if scale < len(before):
          given.append(before[scale][0])
        weights = [1.0]
        if len(given) == 2:
          weights = betas[scale][layer - scale - 1].astype(image.dtype)
        results = {}
        for name, stride, write in (('keep', 1, keep), ('down', 2, down)):
          if write is None:
            continue
          parts = Mixture(
              self.channels(scale + stride - 1),
              stride,
              self.widths,
              len(given),
              name=f'cell{layer}_{scale}_{name}',
          )(
              jnp.concatenate(given),
              alphas[scale][layer - scale],
              read,
              write,
              train,
          )
          results[name] = sum(
              weights[i] * y for i, y in enumerate(jnp.split(parts, len(given)))
          )
        now.append((results['keep'], results.get('down')))
      before = now
    return self.heads([keep for keep, _ in before], role, ends, train)

  def stem(self, image, role, ends, train):
    """Returns features at stride 8."""
    x, layer = image, functools.partial(ConvNormAct, init=he_fan_in)
    for i, (width, layers) in enumerate(((2, 1), (4, 2), (8, 2))):
      features = round(self.features * width * ends / 12)
      features *= 2 if width < 8 else 1
      for j in range(1, layers + 1):
        x = layer(
            features,
            stride=2 if j == 1 else 1,
            name=f'{role}_stem{i}_conv{j}',
        )(x, train)
    return x

  def heads(self, maps, role, ends, train):
    """Returns the scores of each head from a map of each scale."""
    layer = functools.partial(ConvNormAct, init=he_fan_in)
    fine = [self.channels(scale, ends) for scale in range(SCALES)]
    maps = [x[..., :n] for x, n in zip(maps, fine, strict=True)]
    decoded = [maps[0]]
    for scale in range(1, SCALES):
      x = maps[scale]
      for to in range(scale - 1, -1, -1):
        name = f'{role}_%s{scale}_{to}'
        x = layer(fine[to], kernel=1, name=name % 'arm')(x, train)
        x = resize(x, maps[to].shape[1:3], align_corners=True)
        x = jnp.concatenate([x, maps[to]], -1)
        x = layer(fine[to], name=name % 'refine')(x, train)
      decoded.append(x)
    scores = {}
    for name in HEADS:
      x = jnp.concatenate(
          [decoded[int(scale)] for scale in name.removeprefix('head')], -1
      )
      channels = x.shape[-1]
      features = channels if channels <= 256 else channels // 2
      scores[name] = FCNHead(
          self.num_classes, 0.0, features, layer, name=f'{role}_{name}'
      )(x, train)
    return scores


def _filled(x, channels):
  """Returns features with zeros behind, so many channels in all."""
  return jnp.pad(x, ((0, 0),) * 3 + ((0, channels - x.shape[-1]),))


def cell_widths(layer: int, scale: int, layers: int, widths, end) -> tuple:
  """Returns the widths that a cell reads, keeps and, or None, goes down with.

  Args:
    layer: of the cell.
    scale: of the cell.
    layers: number of layers.
    widths: of each scale a list of widths.
    end: that of stem and heads.
  """
  before, after = layer - 1, layer
  if scale:
    before, after = layer - scale, layer - scale + 1
  read = widths[scale][before] if layer else end
  if layer == layers - 1:
    return read, end, None
  down = widths[scale + 1][layer - scale] if scale < SCALES - 1 else None
  return read, widths[scale][after], down


def sampled(ratios: jax.Array, uniform: jax.Array) -> list[Width]:
  """Draws widths by straight-through Gumbel softmax.

  Args:
    ratios: [cells, widths], raw.
    uniform: [cells, widths], random numbers from 0 to 1.
  """
  noise = -jnp.log(-jnp.log(uniform + 1e-20) + 1e-20)
  soft = jax.nn.softmax(jax.nn.log_softmax(ratios) + noise)
  index = soft.argmax(-1)
  chosen = jnp.take_along_axis(soft, index[:, None], -1)[:, 0]
  scores = 1 + chosen - jax.lax.stop_gradient(chosen)
  return [Width(i, score) for i, score in zip(index, scores, strict=True)]


def operators(
    size: tuple[int, int],
    layers: int,
    features: int,
    widths: Sequence[int],
    ends: int,
) -> dict[str, tuple]:
  """Returns what is timed for the expected latency.

  Args:
    size: (height, width) of the image.
    layers: see `Model`, as for the others.
    features: channels at full width.
    widths: in twelfths.
    ends: width of stem and heads of the student.

  Returns:
    {key: (operation, height, width, input channels, features, stride)}; the
    operation of the first convolution is 'conv'.
  """
  known = {}

  def add(*operator):
    known[key(*operator)] = operator

  height, columns = size
  channels = 3
  for kind, width in (('conv', 2), ('conv_2x', 4), ('conv_2x', 8)):
    count = round(features * width * ends / 12) * (2 if width < 8 else 1)
    add(kind, height, columns, channels, count, 2)
    height, columns, channels = height // 2, columns // 2, count
  for layer in range(layers):
    for scale in range(min(layer + 1, SCALES)):
      side = height >> scale, columns >> scale
      numbers = [list(range(len(widths)))] * SCALES
      every = [[numbers[0]] * layers for _ in range(SCALES)]
      end = [list(widths).index(ends)]
      read, keep, down = cell_widths(layer, scale, layers, every, end)
      for stride, written in ((1, keep), (2, down)):
        for i in read if written is not None else ():
          for j in written:
            for kind in OPERATIONS:
              add(
                  kind,
                  *side,
                  _count(features, scale, widths[i]),
                  _count(features, scale + stride - 1, widths[j]),
                  stride,
              )
  return known


def key(
    operation: str, height: int, width: int, read: int, write: int, stride: int
) -> str:
  """Returns the name of an operator in a table of latencies."""
  return f'{operation} {height}x{width} {read}-{write} stride {stride}'


def _count(features, scale, width):
  """Returns the channels of a cell, for a width in twelfths."""
  return int(features * 8 * 2**scale * width / 12)


def expected_latency(
    table: Mapping[str, float],
    size: tuple[int, int],
    *,
    layers: int,
    features: int,
    widths: Sequence[int],
    ends: int,
    alphas: Sequence[jax.Array],
    betas: Sequence[jax.Array | None],
    chosen: Sequence[Sequence[Width]],
    published: bool = False,
) -> jax.Array:
  """Returns the latency that is expected of an architecture, in milliseconds.

  Args:
    table: latency of each of `operators`.
    size: (height, width) of the image.
    layers: see `operators`, as for the next ones.
    features: channels at full width.
    widths: in twelfths.
    ends: width of stem and heads.
    alphas: see `Network`, as for `betas`.
    betas: weights of what comes from the finer and from the same scale.
    chosen: widths of each scale.
    published: adds up as the authors' code, which weighs the paths to all
      scales of a layer by the betas of its last scale, those of layer 2 by the
      last row, and counts what a cell keeps in what goes down from it, too.

  Raises:
    ValueError: the table lacks an operator.
  """

  def time(*operator):
    name = key(*operator)
    if name not in table:
      raise ValueError(
          f'The table of latencies lacks {name!r}: measure one for this'
          ' config by python -m segjax.tools.latency.'
      )
    return table[name]

  def mixture(side, scale, stride, alpha, read, write):
    """The latency of all operations, weighted, at the widths that it has."""
    to = scale + stride - 1
    times = jnp.array(
        [
            [
                [
                    time(
                        kind,
                        *side,
                        _count(features, scale, widths[i]),
                        _count(features, to, widths[j]),
                        stride,
                    )
                    for kind in OPERATIONS
                ]
                for j in _indices(write, widths)
            ]
            for i in _indices(read, widths)
        ]
    )
    row = read.index if len(times) > 1 else 0
    column = write.index if times.shape[1] > 1 else 0
    return (times[row, column] * alpha).sum() * read.score * write.score

  height, columns = size
  channels, total = 3, 0.0
  for kind, width in (('conv', 2), ('conv_2x', 4), ('conv_2x', 8)):
    count = round(features * width * ends / 12) * (2 if width < 8 else 1)
    total += time(kind, height, columns, channels, count, 2)
    height, columns, channels = height // 2, columns // 2, count
  end = Width(list(widths).index(ends))
  # Latency of what stays on each scale, and of what goes down from it.
  keeps, downs = [total, 0.0, 0.0], [0.0, 0.0, 0.0]
  for layer in range(layers):
    # That code reads totals that this layer has changed already.
    finer = downs if published else list(downs)
    scales = min(layer + 1, SCALES)
    for scale in range(scales):
      side = height >> scale, columns >> scale
      read, keep, down = cell_widths(layer, scale, layers, chosen, end)
      alpha = alphas[scale][layer - scale]
      kept = mixture(side, scale, 1, alpha, read, keep)
      lowered = 0.0
      if down is not None:
        lowered = mixture(side, scale, 2, alpha, read, down)
      beta = None
      if 0 < scale < layer:  # Inputs of the finer and of the same scale.
        beta = betas[scale][layer - scale - 1]
        kept, lowered = kept * beta.sum(), lowered * beta.sum()
        if published:
          beta = betas[scales - 1][layer - scales]
      start = _arriving(scale, beta, keeps, finer)
      keeps[scale] = start + kept
      if published:
        start = _arriving(scale, beta, keeps, finer)
      if down is not None or (published and beta is not None):
        downs[scale] = start + lowered
  return sum(keeps)


def _arriving(scale, beta, keeps, finer):
  """Returns the latency up to a cell, weighted by `beta` of its two inputs."""
  if beta is not None:
    return beta[1] * keeps[scale] + beta[0] * finer[scale - 1]
  return finer[scale - 1] if scale else keeps[0]


def _indices(width, widths):
  """Returns which widths a cell may have: one that is fixed, or all."""
  if isinstance(width.index, int):
    return [width.index]
  return range(len(widths))


class Architecture(nn.Module):
  """What is learnt of one architecture."""

  layers: int
  widths: int  # How many there are to choose from; 1 has none to learn.

  @nn.compact
  def __call__(self):
    """Returns weights of operations, of paths, and raw ratios of widths."""
    start = nn.initializers.constant(1e-3)
    alphas, betas, ratios = [], [None], []
    for scale in range(SCALES):
      shape = self.layers - scale, len(OPERATIONS)
      alphas.append(jax.nn.softmax(self.param(f'alpha{scale}', start, shape)))
      if scale:
        shape = self.layers - 1 - scale, 2
        betas.append(jax.nn.softmax(self.param(f'beta{scale}', start, shape)))
      if self.widths > 1:
        shape = self.layers - max(scale, 1), self.widths
        ratios.append(self.param(f'ratio{scale}', start, shape))
    return alphas, betas, ratios


class Model(nn.Module):
  """The network of all paths, seen as several networks in training.

  'scores' of the outputs, in training alone, are those of all heads at stride
  8, {'PASS_HEAD': [B, h, w, K]}, and 'latency' are the parts of the expected
  latency of the student, in milliseconds, {name: []}, if there is a table.
  """

  num_classes: int
  layers: int = 16
  features: int = 12  # Channels at full width and stride 1.
  widths: tuple[int, ...] = (4, 6, 8, 10, 12)  # In twelfths, the last is 12.
  student_ends: int = 8  # Width of the student's stem and heads.
  pretrain: bool = False  # Sees other widths than those of the architectures.
  # Pairs of `key` and milliseconds, from `segjax.tools.latency`.
  latency: tuple[tuple[str, float], ...] = ()
  latency_size: tuple[int, int] = (1024, 2048)  # (height, width).

  @property
  def multiple(self):
    return 32

  def setup(self):
    self.teacher = Architecture(self.layers, 1)
    self.student = Architecture(self.layers, len(self.widths))
    self.cells = Network(
        self.num_classes, self.layers, self.features, self.widths
    )

  def __call__(self, image, *, train=False):
    if self.is_initializing():
      self.teacher()
    passes = {}
    if not (train and self.pretrain):
      passes['student'] = 'student', self.drawn(train)
      if train:
        passes['teacher'] = 'teacher', self.fixed(-1)
    if train:
      passes['max'] = 'student', self.fixed(-1)
      passes['min'] = 'student', self.fixed(0)
      if self.pretrain:
        passes['random1'] = 'student', self.random()
        passes['random2'] = 'student', self.random()
    scores = {
        name: self.scores(image, role, widths, train)
        for name, (role, widths) in passes.items()
    }
    first = next(iter(scores.values()))
    logits = resize(first['head02'], image.shape[1:3], align_corners=True)
    outputs = {'logits': logits, 'aux': {}}
    if train:
      outputs['scores'] = {
          f'{name}_{head}': x
          for name, heads in scores.items()
          for head, x in heads.items()
      }
      if self.latency:
        outputs['latency'] = self.latencies()
    return outputs

  def scores(self, image, role, widths, train):
    """Returns {head: scores at stride 8} of an architecture at some widths."""
    alphas, betas, _ = getattr(self, role)()
    ends = 12 if role == 'teacher' else self.student_ends
    return self.cells(image, role, ends, alphas, betas, widths, train)

  def fixed(self, index):
    """Returns the width with an index everywhere."""
    width = Width(range(len(self.widths))[index])
    return [[width] * (self.layers - max(s, 1)) for s in range(SCALES)]

  def drawn(self, train):
    """Returns the student's widths: sampled, or the likeliest in evaluation."""
    _, _, ratios = self.student()
    if not ratios:
      return self.fixed(-1)
    if not train:
      return [[Width(i) for i in ratio.argmax(-1)] for ratio in ratios]
    keys = jax.random.split(self.make_rng('sample'), SCALES)
    return [
        sampled(ratio, jax.random.uniform(k, ratio.shape))
        for k, ratio in zip(keys, ratios, strict=True)
    ]

  def random(self):
    """Returns widths that are drawn with equal probabilities."""
    key = self.make_rng('sample')
    return [
        [
            Width(i)
            for i in jax.random.randint(
                jax.random.fold_in(key, scale),
                (self.layers - max(scale, 1),),
                0,
                len(self.widths),
            )
        ]
        for scale in range(SCALES)
    ]

  def latencies(self):
    """Returns the student's latency by alphas, by betas and by widths alone."""
    alphas, betas, _ = self.student()
    even = [jnp.full_like(x, 1 / x.shape[-1]) for x in alphas]
    halves = [None, *(jnp.full_like(x, 0.5) for x in betas[1:])]
    compute = functools.partial(
        expected_latency,
        dict(self.latency),
        self.latency_size,
        layers=self.layers,
        features=self.features,
        widths=self.widths,
        ends=self.student_ends,
    )
    widest = self.fixed(-1)
    return {
        'alpha': compute(alphas=alphas, betas=halves, chosen=widest),
        'beta': compute(alphas=even, betas=betas, chosen=widest),
        'ratio': compute(
            alphas=even, betas=halves, chosen=self.drawn(train=True)
        ),
    }


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    latency_weight: float = 0.01,
    shares: tuple[float, float, float] = (1 / 500, 497 / 500, 2 / 500),
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the sum of the losses of all heads, and the expected latency.

  Args:
    out: outputs of the model.
    batch: what they are outputs for.
    rng: key of the step.
    base: loss of the task, which sees the heads at stride 8.
    latency_weight: factor of the latency, in milliseconds.
    shares: factors of its parts by alphas, by betas and by widths, which give
      their gradients a like size.
  """
  heads = out['scores']
  label = shrink_label(batch['label'], next(iter(heads.values())).shape[1:3])
  parts, total = {}, 0.0
  for name, scores in heads.items():
    value, _ = base(
        {'logits': scores, 'aux': {}}, {**batch, 'label': label}, rng
    )
    total += value
    network = name.partition('_')[0]
    parts[network] = parts.get(network, 0.0) + value
  if 'latency' in out:
    latency = sum(
        share * out['latency'][name]
        for share, name in zip(shares, ('alpha', 'beta', 'ratio'), strict=True)
    )
    parts['latency'] = latency
    total += latency_weight * latency
  return total, parts


def read_branches(
    alphas: Sequence[np.ndarray],
    betas: Sequence[np.ndarray | None],
    ratios: Sequence[np.ndarray],
    widths: Sequence[int],
    *,
    carry: bool = False,
) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
  """Returns the branch that ends at each scale, read off an architecture.

  Args:
    alphas: of each scale, raw, [cells, operations].
    betas: of each scale but the first, raw, [cells, 2].
    ratios: of each scale, raw, [cells, widths].
    widths: in twelfths.
    carry: whether what reading a branch changes stays for the next one, as in
      the authors' code: betas go through a softmax again each time, and a skip
      that was kept from being chosen is for good.

  Returns:
    (operations, scales, widths) for each scale, see `fasterseg.Branch`.
  """
  branches = []
  alphas = [np.array(a, np.float32) for a in alphas]
  for last in range(SCALES):
    if carry or not last:
      betas = [None, *(_softmax(b) for b in betas[1:])]
    scales = _best_scales(betas, last, len(alphas[0]))
    chosen = [
        widths[int(ratios[s][i - max(s, 1)].argmax())]
        for i, s in enumerate(scales)
        if i
    ]
    own = alphas if carry else [a.copy() for a in alphas]
    branches.append(_without_skips(own, scales, chosen))
  return branches


def _softmax(x):
  x = np.exp(np.asarray(x, np.float32) - np.max(x, -1, keepdims=True))
  return x / x.sum(-1, keepdims=True)


def _best_scales(betas, last, layers):
  """Returns the scale of each layer on the path that ends at `last`."""
  downs = np.zeros(layers, int)
  if last == 1:
    downs[1 + betas[1][1:-1, 0].argmax()] = 1
  if last == 2:
    best, pair = 0.0, (0, 1)
    for j in range(layers - 4):
      for i in range(1, j - 1):
        product = betas[1][i, 0] * betas[2][j, 0]
        if product > best:
          best, pair = product, (i, j)
    downs[[pair[0] + 1, pair[1] + 2]] = 1
  return (0, *np.cumsum(downs[:-1]).tolist())


def _without_skips(alphas, scales, widths):
  """Returns a branch without cells that pass on what they are given.

  The likeliest of them are left out, as long as enough cells stay; one between
  two strides stays in any case. `alphas` gets -inf for those that become the
  next best operation.
  """
  cells = len(scales)
  fewest = round(cells / 3) + 2 * scales[-1]

  def row(i):
    return alphas[scales[i]][i - scales[i]]

  def keep_from_skipping(i):
    row(i)[0] = -np.inf

  strided = [i for i in range(cells - 1) if scales[i] < scales[i + 1]]
  skips = {
      i: _softmax(row(i))[0]
      for i in range(cells)
      if row(i).argmax() == 0 and i not in strided
  }
  for first, end in zip(strided, [*strided[1:], cells], strict=False):
    between = range(first + 1, end)
    if between and all(i in skips for i in between):
      # The last of the least likely ones.
      keep_from_skipping(
          min(reversed(between), key=lambda i: _softmax(row(i))[0])
      )
  if len(skips) > cells - fewest:
    order = sorted(skips, key=lambda i: -skips[i])
    skips = dict.fromkeys(order[: cells - fewest])
  kept, operations, after = [], [], []
  for i in range(cells):
    operation = int(row(i).argmax())
    if operation == 0 and i in skips:
      if i == cells - 1:
        after.pop()
      continue
    if operation == 0:
      keep_from_skipping(i)
      operation = int(row(i).argmax())
    kept.append(scales[i])
    operations.append(operation)
    after += widths[i : i + 1]
  return tuple(operations), tuple(kept), tuple(after)


def decode(
    params: dict,
    *,
    widths: Sequence[int] = (4, 6, 8, 10, 12),
    student_ends: int = 8,
    features: int = 12,
) -> dict:
  """Returns what the search has found, as fields of `fasterseg`.

  Args:
    params: of the search's model.
    widths: its field, as the next ones.
    student_ends: width of the student's stem and heads.
    features: channels at full width.
  """

  def branches(role):
    found = params[role]
    alphas = [found[f'alpha{scale}'] for scale in range(SCALES)]
    betas = [None, *(found[f'beta{scale}'] for scale in (1, 2))]
    known = widths
    if 'ratio0' in found:
      ratios = [found[f'ratio{scale}'] for scale in range(SCALES)]
    else:
      ratios = [np.zeros((len(a), 1), np.float32) for a in alphas]
      known = (12,)
    _, middle, coarse = read_branches(alphas, betas, ratios, known)
    return coarse, middle

  return {
      'features': features,
      'branches': branches('student'),
      'stem_width': student_ends,
      'head_width': student_ends,
      'teacher': branches('teacher'),
  }
