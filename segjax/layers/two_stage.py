"""The parts of detectors in two stages: proposals, then a look at each box.

Faster R-CNN, https://arxiv.org/abs/1506.01497, and Mask R-CNN,
https://arxiv.org/abs/1703.06870. All arrays have fixed sizes: what is not
there has a score of 0 or a label that says so.
"""

from collections.abc import Callable
import functools
from typing import Any
from typing import NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import point_head
from segjax.layers import point_masks
from segjax.layers.conv import Conv
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.layers.upsample import upsample
from segjax.ops import anchors as anchor_ops
from segjax.ops import box_matching
from segjax.ops import boxes as box_ops
from segjax.ops import detections
from segjax.ops import roi_align as roi_ops


class Truth(NamedTuple):
  """True objects of a batch, of which each image has room for N.

  Attributes:
    boxes: [B, N, 4], y0 x0 y1 x1 in pixels, ends exclusive.
    classes: [B, N], from 1 on.
    valid: [B, N], whether there is such an object.
  """

  boxes: jax.Array
  classes: jax.Array
  valid: jax.Array


class RegionProposals(nn.Module):
  """Scores anchors, and predicts the way from each to an object.

  The layers are the same for all levels.
  """

  anchors: int  # At each position.
  features: int = 256

  @nn.compact
  def __call__(self, maps):
    """Returns logits [B, A] and deltas [B, A, 4], levels one after the other.

    Args:
      maps: [B, h, w, C] each.
    """

    def layer(features, kernel, name):
      return Conv(
          features,
          (kernel, kernel),
          padding=kernel // 2,
          kernel_init=nn.initializers.normal(0.01),
          name=name,
      )

    conv = layer(self.features, 3, 'conv')
    objectness = layer(self.anchors, 1, 'objectness')
    move = layer(4 * self.anchors, 1, 'deltas')
    logits, deltas = [], []
    for x in maps:
      y = nn.relu(conv(x))
      logits.append(objectness(y).reshape(len(x), -1))
      deltas.append(move(y).reshape(len(x), -1, 4))
    return jnp.concatenate(logits, 1), jnp.concatenate(deltas, 1)


class BoxHead(nn.Module):
  """Classifies what boxes show, and moves the boxes, one for each class."""

  num_classes: int  # Class 0 is no object.
  features: int = 1024  # Of two hidden layers; 0: the mean over the bins.

  @nn.compact
  def __call__(self, x):
    """Returns class logits [M, K] and deltas [M, K, 4].

    Args:
      x: [M, rows, columns, C].
    """
    if self.features:
      for i, name in enumerate(('fc6', 'fc7')):
        axes = (-3, -2, -1) if i == 0 else -1
        x = nn.DenseGeneral(self.features, axis=axes, name=name)(x)
        x = nn.relu(x)
    else:
      x = x.mean((1, 2))

    def dense(features, std, name):
      init = nn.initializers.normal(std)
      return nn.Dense(features, kernel_init=init, name=name)(x)

    deltas = dense(4 * self.num_classes, 0.001, 'deltas')
    return dense(self.num_classes, 0.01, 'classifier'), deltas.reshape(
        len(x), self.num_classes, 4
    )


class MaskHead(nn.Module):
  """Predicts a mask of what a box shows for each class, twice as large."""

  num_classes: int
  features: int = 256
  depth: int = 4  # Number of 3x3 convolutions.
  upsampling: str = 'transposed'  # See `layers.upsample`.

  @nn.compact
  def __call__(self, x, train):
    for i in range(1, self.depth + 1):
      x = ConvNormAct(self.features, bias=True, norm=None, name=f'conv{i}')(
          x, train
      )
    x = upsample(self.upsampling, self.features, bias=True, name='upsample')(x)
    return classifier(self.num_classes)(nn.relu(x))


class TwoStage(nn.Module):
  """Detects objects on a pyramid of features, and segments them.

  Attributes:
    num_classes: K; class 0 is no object.
    sizes: for each level the square roots of the areas of its anchors.
    ratios: heights over widths of the anchors.
    rounded_anchors: whether anchors are torchvision's: their corners are
      rounded, and the rows and columns of a level behind the last of
      `roi_levels` are as far apart as they fit into that, in whole pixels.
    roi_levels: levels that boxes are read from; proposals come from all.
    level_inside: see `roi_align.level_of`; its epsilon is 1e-8 then.
    sampling: samples of a bin on each axis, see `roi_align`.
    aligned: see `roi_align`.
    rpn_features: of the network of proposals.
    box_bins: rows and columns of bins in which a box is read.
    box_features: see `BoxHead`.
    mask_bins: the same for its mask, half of the rows of the mask.
    mask_features: see `MaskHead`; 0: no masks are predicted.
    mask_depth: see `MaskHead`.
    upsampling: of the mask, see `MaskHead`.
    points: a head of points in the place of `MaskHead`, see
      `layers.point_masks`; '' has none.
    trunk: layers between the bins and the heads, a module that is called as
      `trunk(x, train)`, or None.
    before: proposals of each level before suppression, in prediction and in
      training.
    proposals: of an image after it, in prediction and in training.
    rpn_overlap: above which the worse of two proposals is suppressed.
    min_score: of a detection.
    max_overlap: above which the worse of two detections of a class is
      suppressed.
    detections: of an image.
    rpn_sample: anchors of an image that are learnt from, up to half of them
      objects.
    roi_sample: boxes of an image that are learnt from, up to a quarter objects.
  """

  num_classes: int
  sizes: tuple[tuple[float, ...], ...]
  ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
  rounded_anchors: bool = True
  roi_levels: tuple[str, ...] = ('c2', 'c3', 'c4', 'c5')
  level_inside: bool = False
  sampling: int = 2
  aligned: bool = False
  rpn_features: int = 256
  box_bins: int = 7
  box_features: int = 1024
  mask_bins: int = 14
  mask_features: int = 256
  mask_depth: int = 4
  upsampling: str = 'transposed'
  points: str = ''
  trunk: Callable[..., Any] | None = None
  before: tuple[int, int] = (1000, 2000)
  proposals: tuple[int, int] = (1000, 2000)
  rpn_overlap: float = 0.7
  min_score: float = 0.05
  max_overlap: float = 0.5
  detections: int = 100
  rpn_sample: int = 256
  roi_sample: int = 512

  def setup(self):
    per_position = len(self.sizes[0]) * len(self.ratios)
    self.rpn = RegionProposals(per_position, self.rpn_features)
    self.box_head = BoxHead(self.num_classes, self.box_features)
    if self.mask_features and self.points:
      self.point_masks = point_masks.build(self.points, self.num_classes)
    elif self.mask_features:
      self.mask_head = MaskHead(
          self.num_classes,
          self.mask_features,
          self.mask_depth,
          self.upsampling,
      )

  def __call__(self, pyramid, size, truth=None, *, train=False):
    """Returns what is detected and, in training, what is learnt from.

    Args:
      pyramid: {level: [B, h, w, C]}, the finest first.
      size: (height, width) of the image.
      truth: a `Truth` in training.
      train: whether this is training.

    Returns:
      A dict of the D best detections: `boxes` [B, D, 4] in pixels, `classes`
      [B, D] int32, `scores` [B, D] float32, 0 for one that is not there, and
      `mask_logits` [B, D, S, S], each for its class, if masks are predicted.
      In training also `anchors`, `rois` and `roi_mask_logits`, see `learn`.
    """
    names = list(pyramid)
    if len(names) != len(self.sizes):
      raise ValueError(
          f'There are sizes of anchors for {len(self.sizes)} levels, and the'
          f' pyramid has {", ".join(names)}: give one tuple for each.'
      )
    logits, deltas = self.first_stage(pyramid)
    shapes = [x.shape[1:3] for x in pyramid.values()]
    anchors = jnp.asarray(
        anchor_ops.anchors(
            shapes,
            self.strides(names, shapes),
            self.sizes,
            self.ratios,
            rounded=self.rounded_anchors,
        )
    )
    per_position = len(self.sizes[0]) * len(self.ratios)
    counts = tuple(h * w * per_position for h, w in shapes)

    def propose(training):
      function = functools.partial(
          detections.propose,
          counts=counts,
          size=size,
          before=self.before[training],
          count=self.proposals[training],
          max_overlap=self.rpn_overlap,
      )
      return jax.lax.stop_gradient(
          jax.vmap(function, (0, 0, None))(logits, deltas, anchors)
      )

    out = self.detect(pyramid, size, *propose(False))
    if train and truth is not None:
      first = {'logits': logits, 'deltas': deltas, 'boxes': anchors}
      out |= self.learn(pyramid, first, *propose(True), truth, size)
    return out

  def first_stage(self, pyramid):
    """Returns logits [B, A] and deltas [B, A, 4] for the anchors of levels."""
    return self.rpn(list(pyramid.values()))

  def strides(self, names, shapes):
    """Returns the pixels between rows and between columns of each level."""
    strides = [(_stride(name),) * 2 for name in names]
    last = names.index(self.roi_levels[-1])
    if self.rounded_anchors:
      for i in range(last + 1, len(names)):
        strides[i] = tuple(
            step * n // fewer
            for step, n, fewer in zip(
                strides[last], shapes[last], shapes[i], strict=True
            )
        )
    return strides

  def read(self, pyramid, boxes, bins, train):
    """Returns the features in boxes [B, N, 4], [B * N, rows, columns, C]."""
    finest, coarsest = (int(self.roi_levels[i][1:]) for i in (0, -1))
    level = roi_ops.level_of(
        boxes,
        finest,
        coarsest,
        epsilon=1e-8 if self.level_inside else 1e-6,
        inside=self.level_inside,
    )
    x = roi_ops.pyramid_roi_align(
        [pyramid[name] for name in self.roi_levels],
        boxes,
        level - finest,
        (bins, bins),
        scales=tuple(1 / _stride(name) for name in self.roi_levels),
        sampling=self.sampling,
        aligned=self.aligned,
    )
    x = x.reshape(-1, *x.shape[2:])
    return self.trunk(x, train) if self.trunk else x

  def classify(self, pyramid, boxes, train):
    """Returns class logits [B, N, K] and deltas [B, N, K, 4] of boxes."""
    logits, deltas = self.box_head(
        self.read(pyramid, boxes, self.box_bins, train)
    )
    ends = boxes.shape[:2]
    return logits.reshape(*ends, -1), deltas.reshape(*ends, -1, 4)

  def segment(self, pyramid, boxes, classes, train):
    """Returns the logits of the masks of classes in boxes, [B, N, S, S]."""
    x = self.mask_head(self.read(pyramid, boxes, self.mask_bins, train), train)
    return point_masks.of_class(
        x.reshape(*classes.shape, *x.shape[1:]), classes
    )

  def detect(self, pyramid, size, boxes, scores):
    """Returns the detections among proposals, see `__call__`.

    Norms of a trunk do as in evaluation, and keep their statistics.

    Args:
      pyramid: see `__call__`.
      size: see `__call__`.
      boxes: [B, P, 4].
      scores: [B, P], -inf for a proposal that is not there.
    """
    logits, deltas = self.classify(pyramid, boxes, False)
    found = jax.vmap(
        functools.partial(
            best,
            size=size,
            count=self.detections,
            min_score=self.min_score,
            max_overlap=self.max_overlap,
        )
    )(logits, deltas, boxes, scores > -jnp.inf)
    out = dict(zip(('boxes', 'classes', 'scores'), found, strict=True))
    if self.mask_features and self.points:
      fine = self.finest(pyramid)
      at = out['boxes'], out['classes'], size
      coarse = self.point_masks(fine, out['boxes'], size, False)
      out['mask_logits'] = self.point_masks.refine(fine, coarse, *at)
    elif self.mask_features:
      out['mask_logits'] = self.segment(
          pyramid, out['boxes'], out['classes'], False
      )
    return out

  def learn(self, pyramid, first, boxes, scores, truth, size):
    """Samples anchors and boxes, and predicts what the latter show.

    Args:
      pyramid: see `__call__`.
      first: of the first stage: `logits` [B, A], `deltas` [B, A, 4] and `boxes`
        [A, 4], the anchors.
      boxes: [B, P, 4], proposals.
      scores: [B, P], -inf for a proposal that is not there.
      truth: a `Truth`.
      size: see `__call__`.

    Returns:
      A dict. `anchors` has what `first` has, [B, A, 4] boxes; `chosen` [B, A],
      1 for the objects and -1 for the background among those to learn from,
      else 0; and `matched` [B, A], the true object of each. `rois` has R boxes
      to learn from: `boxes` [B, R, 4], `classes` [B, R], 0 for background and
      -1 for none at all, `matched`, `class_logits` [B, R, K] and `deltas`
      [B, R, K, 4]. `roi_mask_logits` [B, M, S, S] are of the first M of them,
      among which all objects are, each for its class. With `points`, what
      `learn_points` returns comes in its place.
    """
    batch, count = first['logits'].shape
    key = self.make_rng('sample')
    draws = jax.random.uniform(
        key, (batch, count + boxes.shape[1] + truth.valid.shape[1])
    )
    rois = self.sample_rois(boxes, scores, truth, draws[:, count:])
    boxes, classes = rois['boxes'], rois['classes']
    logits, deltas = self.classify(pyramid, boxes, True)
    out = {
        'anchors': self.sample_anchors(first, truth, draws[:, :count]),
        'rois': {**rois, 'class_logits': logits, 'deltas': deltas},
    }
    objects = self.roi_sample // 4
    boxes, classes = boxes[:, :objects], classes[:, :objects]
    classes = jnp.maximum(classes, 0)
    if self.mask_features and self.points:
      out |= self.learn_points(pyramid, boxes, classes, size)
    elif self.mask_features:
      out['roi_mask_logits'] = self.segment(pyramid, boxes, classes, True)
    return out

  def learn_points(self, pyramid, boxes, classes, size):
    """Returns coarse masks, and points to learn from with their logits.

    Args:
      pyramid: see `__call__`.
      boxes: [B, M, 4].
      classes: [B, M].
      size: see `__call__`.

    Returns:
      `roi_mask_logits` [B, M, S, S]; `roi_points` [B, M, P, 2], (x, y) from 0
      to 1 in the image; and `roi_point_logits` [B, M, P].
    """
    fine = self.finest(pyramid)
    coarse = self.point_masks(fine, boxes, size, True)
    points = self.point_masks.draw(coarse, classes)
    scores = self.point_masks.score(fine, coarse, boxes, classes, size, points)
    return {
        'roi_mask_logits': point_masks.of_class(coarse, classes),
        'roi_points': point_masks.in_image(points, boxes, size),
        'roi_point_logits': scores,
    }

  def finest(self, pyramid):
    """Returns the features that points are read from, [B, h, w, C]."""
    level = point_head.level_of(self.points)
    if level not in pyramid:
      raise ValueError(
          f'points={self.points!r}: there is no level {level!r} to read; there'
          f' are {", ".join(pyramid)}.'
      )
    return pyramid[level]

  def sample_anchors(self, first, truth, draws):
    """Returns the entry `anchors` of `learn`.

    Args:
      first: see `learn`.
      truth: a `Truth`.
      draws: [B, A], uniform random numbers.
    """
    matched, labels = jax.vmap(
        functools.partial(box_matching.match, low=0.3, high=0.7, keep_best=True)
    )(true_overlaps(first['boxes'][None], truth))
    chosen = jax.vmap(box_matching.sample, (0, 0, None, None))(
        draws, labels, self.rpn_sample, self.rpn_sample // 2
    )
    boxes = jnp.broadcast_to(first['boxes'], first['deltas'].shape)
    return {**first, 'boxes': boxes, 'chosen': chosen, 'matched': matched}

  def sample_rois(self, boxes, scores, truth, draws):
    """Returns `boxes`, `classes` and `matched` of the entry `rois` of `learn`.

    The true boxes are among those that are drawn from.

    Args:
      boxes: [B, P, 4], proposals.
      scores: [B, P], -inf for a proposal that is not there.
      truth: a `Truth`, of N objects in each image.
      draws: [B, P + N], uniform random numbers.
    """
    boxes = jnp.concatenate([boxes, truth.boxes.astype(boxes.dtype)], 1)
    exists = jnp.concatenate([scores > -jnp.inf, truth.valid > 0], 1)
    matched, labels = jax.vmap(
        functools.partial(
            box_matching.match, low=0.5, high=0.5, keep_best=False
        )
    )(true_overlaps(boxes, truth))
    chosen = jax.vmap(box_matching.sample, (0, 0, None, None))(
        draws,
        jnp.where(exists, labels, box_matching.IGNORED),
        self.roi_sample,
        self.roi_sample // 4,
    )
    index, taken = jax.vmap(box_matching.rows, (0, None))(
        chosen, self.roi_sample
    )

    def take(x):
      return jnp.take_along_axis(x, index[..., None], 1)

    matched = take(matched[..., None])[..., 0]
    classes = jnp.take_along_axis(truth.classes.astype(jnp.int32), matched, 1)
    classes = jnp.where(take(labels[..., None])[..., 0] > 0, classes, 0)
    classes = jnp.where(taken, classes, box_matching.IGNORED)
    return {'boxes': take(boxes), 'classes': classes, 'matched': matched}


def true_overlaps(boxes: jax.Array, truth: Truth) -> jax.Array:
  """Returns overlaps of boxes with true ones, -1 of those that are not there.

  Args:
    boxes: [B, A, 4], or [1, A, 4] for the same boxes in all images.
    truth: of N objects in each image.

  Returns:
    [B, A, N].
  """
  table = box_ops.overlaps(boxes, truth.boxes)
  return jnp.where((truth.valid > 0)[:, None], table, -1)


def best(
    logits: jax.Array,
    deltas: jax.Array,
    boxes: jax.Array,
    exists: jax.Array,
    *,
    size: tuple[int, int],
    count: int,
    min_score: float,
    max_overlap: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the best detections among the proposals of one image.

  Args:
    logits: [P, K], of classes; class 0 is no object.
    deltas: [P, K, 4], from the proposals.
    boxes: [P, 4], proposals.
    exists: [P], whether there is such a proposal.
    size: (height, width) of the image, to which boxes are clipped.
    count: D.
    min_score: see `detections.select`.
    max_overlap: see `detections.select`.

  Returns:
    Boxes [D, 4], classes [D] and scores [D]; all 0 for one that is not there.
  """
  scores = jax.nn.softmax(logits.astype(jnp.float32))[:, 1:]
  moved = anchor_ops.decode(
      deltas[:, 1:], boxes[:, None], anchor_ops.BOX_WEIGHTS
  )
  found, classes, score, _ = detections.select(
      jnp.where(exists[:, None], scores, 0),
      box_ops.clip(moved, size),
      count=count,
      min_score=min_score,
      max_overlap=max_overlap,
  )
  there = score > -jnp.inf
  return (
      jnp.where(there[:, None], found, 0),
      jnp.where(there, classes + 1, 0),
      jnp.where(there, score, 0),
  )


def _stride(level):
  """Returns the pixels between two positions of a level, 4 of 'c2'."""
  return 2 ** int(level[1:])


# Fields of `TwoStage` that models have, by their names there.
OF_MODELS = {
    'sizes': 'anchor_sizes',
    'ratios': 'anchor_ratios',
    **{
        name: name
        for name in (
            *('rounded_anchors', 'sampling', 'aligned', 'box_features'),
            *('mask_depth', 'upsampling', 'points', 'before', 'proposals'),
            *('min_score', 'max_overlap'),
            *('detections', 'rpn_sample', 'roi_sample'),
        )
    },
}


def of_model(model: nn.Module, **fields: Any) -> TwoStage:
  """Returns the detector that the fields of a model describe.

  Args:
    model: has the fields of `OF_MODELS`.
    **fields: of `TwoStage`, where they are not those of the model.
  """
  shared = {name: getattr(model, own) for name, own in OF_MODELS.items()}
  shared['level_inside'] = not model.rounded_anchors
  return TwoStage(**{**shared, **fields}, name='detector')
