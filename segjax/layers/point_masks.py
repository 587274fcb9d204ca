"""PointRend's masks of detected objects, https://arxiv.org/abs/1912.08193.

Section 3.3 and the authors' code in detectron2. A coarse mask of 7 x 7 comes
from linear layers over what a box shows; in prediction it is enlarged to 224 x
224 in steps of two, and after each step a small network scores the most
uncertain places anew, from the finest features and the coarse mask. Systems
that detect take this head by a field `points`, such as 'c2', the level of the
pyramid that it reads, with or without options: fields of `PointMasks`.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers import point_head
from segjax.layers.conv import ConvNormAct
from segjax.layers.point_head import PointHead
from segjax.ops import points as ops
from segjax.ops.resize import resize

READ = 14  # Rows and columns of places at which a box is read.
COARSE = READ // 2  # Of the coarse mask.


class PointMasks(nn.Module):
  """Predicts a mask of each class in boxes, and scores single points of it."""

  num_classes: int
  features: int = 256
  hidden: int = 1024  # Of the linear layers before the coarse mask.
  train_points: int = 196  # Of each box.
  oversampling: int = 3  # Candidates that are drawn for each of them.
  importance: float = 0.75  # Share of them that uncertainty chooses.
  subdivision_points: int = 784  # Of each box, after each step.
  steps: int = 5  # In prediction, each doubles the side of a mask.

  def setup(self):
    self.reduce = ConvNormAct(
        self.features, kernel=2, stride=2, padding=0, bias=True, norm=None
    )
    self.fc1, self.fc2 = nn.Dense(self.hidden), nn.Dense(self.hidden)
    self.coarse = nn.Dense(
        self.num_classes * COARSE**2, kernel_init=nn.initializers.normal(0.001)
    )
    self.head = PointHead(
        self.num_classes,
        self.features,
        train_points=self.train_points,
        oversampling=self.oversampling,
        importance=self.importance,
    )

  def __call__(self, fine, boxes, size, train):
    """Returns the logits of coarse masks, [B, N, COARSE, COARSE, K].

    Args:
      fine: [B, h, w, C], the finest features.
      boxes: [B, N, 4], y0 x0 y1 x1 in pixels of the image.
      size: (height, width) of the image.
      train: whether this is training.
    """
    batch, count = boxes.shape[:2]
    places = ops.centers(jnp.arange(READ**2), (READ, READ))
    grid = jnp.broadcast_to(places, (batch, count, *places.shape))
    x = ops.sample(fine, in_image(grid, boxes, size))
    x = self.reduce(x.reshape(batch * count, READ, READ, -1), train)
    x = nn.relu(self.fc1(x.reshape(len(x), -1)))
    x = self.coarse(nn.relu(self.fc2(x)))
    return x.reshape(batch, count, COARSE, COARSE, self.num_classes)

  def draw(self, coarse, classes):
    """Returns the points of a training step, [B, N, P, 2] from 0 to 1 in boxes.

    Args:
      coarse: see `score`.
      classes: [B, N], of the boxes.
    """
    own = of_class(coarse, classes).reshape(-1, *coarse.shape[2:4], 1)
    points = self.head.draw(own)
    return points.reshape(*classes.shape, *points.shape[1:])

  def score(self, fine, coarse, boxes, classes, size, points):
    """Returns the logits of points for the classes of their boxes, [B, N, P].

    Args:
      fine: [B, h, w, C].
      coarse: [B, N, COARSE, COARSE, K].
      boxes: [B, N, 4].
      classes: [B, N].
      size: (height, width) of the image.
      points: [B, N, P, 2], (x, y) from 0 to 1 in each box.
    """
    total = classes.size
    values = ops.sample(fine, in_image(points, boxes, size))
    flat = points.reshape(total, *points.shape[2:])
    seen = ops.sample(coarse.reshape(total, *coarse.shape[2:]), flat)
    scores = self.head.score(values.reshape(total, *values.shape[2:]), seen)
    return of_class(scores.reshape(*points.shape[:3], -1), classes)

  def refine(self, fine, coarse, boxes, classes, size):
    """Returns the logits of masks, [B, N, S, S] with S = COARSE * 2^steps.

    The arguments are those of `score`.
    """
    masks = of_class(coarse, classes)
    shape = classes.shape
    masks = masks.reshape(-1, COARSE, COARSE, 1)
    for step in range(self.steps):
      side = 2 * masks.shape[1]
      masks = resize(masks, (side, side))
      # The next step scores all places of its mask anew.
      if 4 * side**2 <= self.subdivision_points and step < self.steps - 1:
        continue
      index = ops.most_uncertain_pixels(masks, self.subdivision_points)
      points = ops.centers(index, (side, side))
      points = points.reshape(*shape, *points.shape[1:])
      scores = self.score(fine, coarse, boxes, classes, size, points)
      masks = ops.replace_pixels(masks, index, scores.reshape(*index.shape, 1))
    return masks.reshape(*shape, *masks.shape[1:3])


def build(text: str, num_classes: int) -> PointMasks:
  """Returns the head that a field `points` describes.

  Raises:
    ValueError: the head has no such option.
  """
  _, options = point_head.options_of(text, PointMasks)
  return PointMasks(num_classes, **options)


def in_image(
    points: jax.Array, boxes: jax.Array, size: tuple[int, int]
) -> jax.Array:
  """Returns where points of boxes lie in the image, (x, y) from 0 to 1.

  Args:
    points: [B, N, P, 2], (x, y) from 0 to 1 in each box.
    boxes: [B, N, 4], y0 x0 y1 x1 in pixels.
    size: (height, width) of the image.
  """
  low, high = boxes[..., None, 1::-1], boxes[..., None, :1:-1]
  height, width = size
  place = low + points * (high - low)
  return place / jnp.array((width, height), jnp.float32)


def of_class(x: jax.Array, classes: jax.Array) -> jax.Array:
  """Returns the channel [B, N, ...] of its class of each box [B, N, ..., K]."""
  place = classes.reshape(*classes.shape, *[1] * (x.ndim - 2))
  return jnp.take_along_axis(x, place, -1)[..., 0]
