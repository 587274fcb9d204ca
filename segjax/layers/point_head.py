"""PointRend's head, https://arxiv.org/abs/1912.08193, for any system.

Segmentation as rendering: coarse logits are enlarged in steps of two, and after
each step a small network scores the most uncertain pixels anew, from features
and coarse logits read at their centres. In training it scores random points,
most of them uncertain ones. Systems take the head by a field `points`, such as
'c2', the level of the backbone that it reads, with or without options: fields
of `PointHead`, 'c2(features=128, train_points=1024)'.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax import specs
from segjax.layers.conv import he_normal
from segjax.ops import points as ops
from segjax.ops.resize import resize


class PointHead(nn.Module):
  """Linear layers on the features and the coarse logits of single points."""

  num_classes: int
  features: int = 256
  # Joins the coarse logits to the input of every layer, not of the first alone.
  coarse_every_layer: bool = True
  train_points: int = 2048  # Of each image.
  oversampling: int = 3  # Candidates that are drawn for each of them.
  importance: float = 0.75  # Share of them that uncertainty chooses.
  subdivision_points: int = 8196  # Of each image, after each step.

  def __call__(self, fine, coarse, points):
    """Returns the logits of points.

    Args:
      fine: [B, h, w, C], features.
      coarse: [B, h, w, num_classes], logits.
      points: [B, P, 2], (x, y) from 0 to 1.

    Returns:
      [B, P, num_classes].
    """
    return self.score(ops.sample(fine, points), ops.sample(coarse, points))

  @nn.compact
  def score(self, fine, coarse):
    """Returns the logits of points from what was read there, [B, P, K].

    Args:
      fine: [B, P, C], features.
      coarse: [B, P, num_classes], logits.
    """
    x = jnp.concatenate([fine, coarse], -1)
    for i in (1, 2, 3):
      x = nn.Dense(self.features, kernel_init=he_normal, name=f'fc{i}')(x)
      x = nn.relu(x)
      if self.coarse_every_layer:
        x = jnp.concatenate([x, coarse], -1)
    init = nn.initializers.normal(0.01)
    return nn.Dense(self.num_classes, kernel_init=init, name='classifier')(x)

  def outputs(self, fine, coarse, size, train):
    """Returns the entries that the outputs of a system have with this head.

    Args:
      fine: [B, h, w, C], features.
      coarse: [B, h, w, num_classes], logits.
      size: (height, width) of the image.
      train: whether points are drawn, and not searched for.

    Returns:
      `logits` [B, *size, num_classes]. In training they are the enlarged coarse
      ones, beside `points` [B, P, 2] and `point_logits` [B, P, num_classes].
    """
    if train:
      points = self.draw(coarse)
      return {
          'logits': resize(coarse, size),
          'points': points,
          'point_logits': self(fine, coarse, points),
      }
    logits = subdivide(
        coarse,
        lambda points: self(fine, coarse, points),
        self.subdivision_points,
        _rounds(coarse.shape[1:3], size),
    )
    # Sides that the stride does not divide have become longer than the image's.
    return {'logits': resize(logits, size)}

  def draw(self, coarse):
    """Returns the points of a training step, [B, train_points, 2].

    Args:
      coarse: [B, h, w, K], the logits whose uncertainty chooses them.
    """
    uncertain = int(self.importance * self.train_points)
    candidates = self.oversampling * self.train_points
    draws = jax.random.uniform(
        self.make_rng('sample'),
        (len(coarse), candidates + self.train_points - uncertain, 2),
    )
    chosen = ops.most_uncertain(coarse, draws[:, :candidates], uncertain)
    return jnp.concatenate([chosen, draws[:, candidates:]], 1)


def level_of(text: str) -> str:
  """Returns the level of the backbone that a field `points` names, or ''."""
  return specs.split(text, 'point head')[0]


def outputs(
    text: str,
    feats: dict[str, jax.Array],
    coarse: jax.Array,
    size: tuple[int, int],
    train: bool,
) -> dict[str, Any]:
  """Returns what `PointHead.outputs` does, of the head that a field describes.

  Call it in the `__call__` of a model: its parameters are named 'points' there.

  Args:
    text: the field `points` of the system, not empty.
    feats: {level: features [B, h, w, C]} of the backbone.
    coarse: [B, h, w, K], logits.
    size: (height, width) of the image.
    train: see `PointHead.outputs`.

  Raises:
    ValueError: the head has no such option.
  """
  level, options = options_of(text, PointHead)
  head = PointHead(coarse.shape[-1], **options, name='points')
  return head.outputs(feats[level], coarse, size, train)


def options_of(text: str, head: type[nn.Module]) -> tuple[str, dict[str, Any]]:
  """Returns the level that a field `points` names, and the fields of its head.

  Args:
    text: such as 'c2' or 'c2(features=128)'.
    head: `PointHead`, or the head of masks of objects.

  Raises:
    ValueError: the head has no such option.
  """
  level, options = specs.split(text, 'point head')
  usable = {
      field.name: field.default
      for field in dataclasses.fields(head)
      if field.name not in ('num_classes', 'parent', 'name')
  }
  if unknown := sorted(set(options) - set(usable)):
    shown = ', '.join(f'{name}={value!r}' for name, value in usable.items())
    raise ValueError(
        f'points={text!r}: the head has no option {", ".join(unknown)}. It is'
        f" used as '{level}({shown})'."
    )
  return level, options


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


def _rounds(coarse, size):
  """Returns how often sides are doubled until none is smaller than `size`."""
  rounds = 0
  while any(old << rounds < new for old, new in zip(coarse, size, strict=True)):
    rounds += 1
  return rounds
