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
from collections.abc import Sequence
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.layers.expected_latency import expected_latency
from segjax.layers.slimmable import Width
from segjax.layers.slimmable import sampled
from segjax.layers.slimmable_paths import OPERATIONS
from segjax.layers.slimmable_paths import SCALES
from segjax.layers.slimmable_paths import Pass
from segjax.layers.slimmable_paths import PathNetwork
from segjax.ops.resize import resize
from segjax.ops.targets import shrink_label


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
    self.cells = PathNetwork(
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
    scores = self.scores(image, passes.values(), train)
    logits = resize(scores[0]['head02'], image.shape[1:3], align_corners=True)
    outputs = {'logits': logits, 'aux': {}}
    if train:
      outputs['scores'] = {
          f'{name}_{head}': x
          for name, heads in zip(passes, scores, strict=True)
          for head, x in heads.items()
      }
      if self.latency:
        outputs['latency'] = self.latencies()
    return outputs

  def scores(self, image, passes, train):
    """Returns {head: scores at stride 8} for each of [(role, widths)]."""
    architectures = {role: getattr(self, role)() for role, _ in passes}
    return self.cells(
        image,
        [
            Pass(
                role,
                12 if role == 'teacher' else self.student_ends,
                *architectures[role][:2],
                widths,
            )
            for role, widths in passes
        ],
        train,
    )

  def counts(self):
    """Returns how many cells of each scale have a width."""
    return [self.layers - max(scale, 1) for scale in range(SCALES)]

  def fixed(self, index):
    """Returns the width with an index everywhere."""
    index = range(len(self.widths))[index]
    return [
        Width(np.full(n, index, np.int32), np.ones(n, np.float32))
        for n in self.counts()
    ]

  def drawn(self, train):
    """Returns the student's widths: sampled, or the likeliest in evaluation."""
    _, _, ratios = self.student()
    if not ratios:
      return self.fixed(-1)
    if not train:
      return [
          Width(ratio.argmax(-1), np.ones(len(ratio), np.float32))
          for ratio in ratios
      ]
    keys = jax.random.split(self.make_rng('sample'), SCALES)
    return [
        sampled(ratio, jax.random.uniform(k, ratio.shape))
        for k, ratio in zip(keys, ratios, strict=True)
    ]

  def random(self):
    """Returns widths that are drawn with equal probabilities."""
    key = self.make_rng('sample')
    return [
        Width(
            jax.random.randint(
                jax.random.fold_in(key, scale), (n,), 0, len(self.widths)
            ),
            np.ones(n, np.float32),
        )
        for scale, n in enumerate(self.counts())
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
