"""PointRend on Semantic FPN, https://arxiv.org/abs/1912.08193.

Segmentation as rendering: coarse logits are enlarged in steps of two, and after
each step a small network scores the most uncertain pixels anew, from features
and coarse logits read at their centres. In training it scores random points,
most of them uncertain ones. Checked against mmsegmentation 1.2.2, the default,
and, head and choice of points, against the authors' code in detectron2, which
has `subdivision_points=8192` and, on Semantic FPN, `coarse_every_layer=False`.
"""

from collections.abc import Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import backbones
from segjax.layers import norm as norms
from segjax.layers.conv import he_normal
from segjax.layers.fpn import FPN
from segjax.layers.fpn import sum_levels
from segjax.layers.head import classifier
from segjax.ops import points as ops
from segjax.ops.resize import resize


class PointHead(nn.Module):
  """Linear layers on the features and the coarse logits of single points."""

  num_classes: int
  features: int = 256
  # Joins the coarse logits to the input of every layer, not of the first alone.
  coarse_every_layer: bool = True

  @nn.compact
  def __call__(self, fine, coarse, points):
    """Returns the logits of points.

    Args:
      fine: [B, h, w, C], features.
      coarse: [B, h, w, num_classes], logits.
      points: [B, P, 2], (x, y) from 0 to 1.

    Returns:
      [B, P, num_classes].
    """
    coarse = ops.sample(coarse, points)
    x = jnp.concatenate([ops.sample(fine, points), coarse], -1)
    for i in (1, 2, 3):
      x = nn.Dense(self.features, kernel_init=he_normal, name=f'fc{i}')(x)
      x = nn.relu(x)
      if self.coarse_every_layer:
        x = jnp.concatenate([x, coarse], -1)
    init = nn.initializers.normal(0.01)
    return nn.Dense(self.num_classes, kernel_init=init, name='classifier')(x)


def subdivide(
    coarse: jax.Array,
    score: Callable[[jax.Array], jax.Array],
    count: int,
    rounds: int = 2,
) -> jax.Array:
  """Returns logits enlarged in steps of two, uncertain pixels scored anew.

  Args:
    coarse: [B, h, w, K].
    score: returns the logits [B, P, K] of points [B, P, 2].
    count: how many pixels of each image are scored after each step.
    rounds: how many steps there are.

  Returns:
    [B, h * 2^rounds, w * 2^rounds, K].
  """
  logits = coarse
  for _ in range(rounds):
    size = 2 * logits.shape[1], 2 * logits.shape[2]
    logits = resize(logits, size)
    index = ops.most_uncertain_pixels(logits, count)
    logits = ops.replace_pixels(logits, index, score(ops.centers(index, size)))
  return logits


class Model(nn.Module):
  """Semantic FPN to stride 4, and a head that scores single points anew."""

  num_classes: int
  backbone: str = 'resnet/50_v1c'
  pyramid_features: int = 256
  features: int = 128
  group_norm: bool = False  # In the branches; else batch norm.
  point_features: int = 256
  coarse_every_layer: bool = True  # See `PointHead`.
  train_points: int = 2048  # Of each image.
  oversampling: int = 3  # Candidates that are drawn for each of them.
  importance: float = 0.75  # Share of them that uncertainty chooses.
  subdivision_points: int = 8196  # Of each image, after each step.

  @nn.compact
  def __call__(self, image, *, train=False):
    coarse, score = self.parts(image, train)
    size = image.shape[1:3]
    if not train:
      logits = subdivide(coarse, score, self.subdivision_points)
      # Sides that do not divide by 4 have become longer than the image's.
      return {'logits': resize(logits, size), 'aux': {}}
    points = self.draw(coarse)
    return {
        'logits': resize(coarse, size),
        'aux': {},
        'points': points,
        'point_logits': score(points),
    }

  def parts(self, image, train):
    """Returns coarse logits, and the function that scores points."""
    levels = ('c2', 'c3', 'c4', 'c5')
    feats = backbones.build(self.backbone, levels, name='backbone')(
        image, train
    )
    pyramid = FPN(self.pyramid_features, name='fpn')(
        {level: feats[level] for level in levels}, train
    )
    norm = norms.group_norm if self.group_norm else norms.BatchNorm
    x = sum_levels(pyramid, self.features, norm, train)
    coarse = classifier(self.num_classes)(x)
    head = PointHead(
        self.num_classes,
        self.point_features,
        self.coarse_every_layer,
        name='points',
    )
    return coarse, lambda points: head(pyramid['c2'], coarse, points)

  def draw(self, coarse):
    """Returns the points of a training step, [B, train_points, 2]."""
    uncertain = int(self.importance * self.train_points)
    candidates = self.oversampling * self.train_points
    draws = jax.random.uniform(
        self.make_rng('sample'),
        (len(coarse), candidates + self.train_points - uncertain, 2),
    )
    chosen = ops.most_uncertain(coarse, draws[:, :candidates], uncertain)
    return jnp.concatenate([chosen, draws[:, candidates:]], 1)


def loss(
    out: dict,
    batch: dict,
    rng: jax.Array,
    *,
    base: Callable,
    point_weight: float = 1.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Adds the loss of the task at the points, as if they were an image.

  Args:
    out: outputs of the model in training.
    batch: what they are outputs for; labels and weights are those of the pixels
      that the points lie in.
    rng: key of what the task draws.
    base: the loss of the task, of the coarse logits and of the points.
    point_weight: factor of the second.
  """
  total, parts = base(out, batch, rng)
  truth = {
      name: ops.nearest(batch[name], out['points'])[:, :, None]
      for name in ('label', 'weight')
      if name in batch
  }
  outputs = {'logits': out['point_logits'][:, :, None], 'aux': {}}
  points, _ = base(outputs, {**batch, **truth}, rng)
  return total + point_weight * points, {**parts, 'points': points}
