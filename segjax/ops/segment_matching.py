"""Segments of images, and the matching of what is predicted to them.

Systems that predict a class and a mask for each of a number of queries learn
from one query for each segment: the assignment of least cost, found on the
device. DETR, https://arxiv.org/abs/2005.12872, section 3.1.
"""

from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import optax

IGNORE = 255  # Class of pixels that are of no segment.
NOTHING = -1  # Number of no segment.


class Segments(NamedTuple):
  """The segments of each image that queries are matched to.

  Attributes:
    numbers: [B, H, W] int32, the segment that each pixel is of, or `NOTHING`.
    ids: [B, T] int32, numbers of up to T segments; `NOTHING` in the places of
      those that are not there.
    classes: [B, T] int32, their classes.
  """

  numbers: jax.Array
  ids: jax.Array
  classes: jax.Array

  @property
  def valid(self):
    """Which of the T segments are there, [B, T]."""
    return self.ids != NOTHING


def class_segments(label: jax.Array, num_classes: int, most: int) -> Segments:
  """Returns a segment for each class that an image has.

  Args:
    label: [B, H, W], class ids, or `IGNORE`.
    num_classes: K.
    most: T; of more classes in an image, the first ones count.
  """
  label = label.astype(jnp.int32)
  numbers = jnp.where(label < num_classes, label, NOTHING)
  classes = jnp.arange(num_classes)
  return _present(
      numbers, jnp.broadcast_to(classes, (len(label), num_classes)), most
  )


def panoptic_segments(
    label: jax.Array,
    instances: jax.Array,
    instance_classes: jax.Array,
    instance_crowds: jax.Array,
    num_classes: int,
    most: int,
) -> Segments:
  """Returns a segment for each object and for each class of stuff.

  Groups of objects that nobody told apart are none.

  Args:
    label: [B, H, W], class ids, or `IGNORE`.
    instances: [B, H, W], 0 for no object, and i for object i of 1 to N.
    instance_classes: [B, N], `IGNORE` of an object that is not there.
    instance_crowds: [B, N], 1 for a group.
    num_classes: K.
    most: T; of more segments in an image, the first ones count, objects before
      stuff.
  """
  label = label.astype(jnp.int32)
  batch, count = instance_classes.shape
  stuff = jnp.where(label < num_classes, count + label, NOTHING)
  crowd = jnp.pad(instance_crowds, ((0, 0), (1, 0))) > 0
  crowd = jax.vmap(lambda row, ids: row[ids])(crowd, instances)
  things = jnp.where(crowd, NOTHING, instances - 1)
  numbers = jnp.where(instances > 0, things, stuff).astype(jnp.int32)
  kinds = jnp.broadcast_to(jnp.arange(num_classes), (batch, num_classes))
  classes = jnp.concatenate([instance_classes.astype(jnp.int32), kinds], 1)
  return _present(numbers, classes, most)


def object_segments(
    instances: jax.Array,
    instance_classes: jax.Array,
    instance_valid: jax.Array,
    most: int,
) -> Segments:
  """Returns a segment for each object; other pixels are of none.

  Args:
    instances: [B, H, W], 0 for no object, and i for object i of 1 to N.
    instance_classes: [B, N].
    instance_valid: [B, N], whether an object is to be learnt from.
    most: T; of more objects in an image, the first ones count.
  """
  valid = jnp.pad(instance_valid, ((0, 0), (1, 0))) > 0
  valid = jax.vmap(lambda row, ids: row[ids])(valid, instances)
  numbers = jnp.where(valid, instances - 1, NOTHING).astype(jnp.int32)
  return _present(numbers, instance_classes.astype(jnp.int32), most)


def _present(numbers, classes, most):
  """Returns up to `most` segments that have a pixel, in order of number."""
  batch, count = classes.shape
  flat = numbers.reshape(batch, -1)
  flat = jnp.where(flat == NOTHING, count, flat)
  here = jax.vmap(
      lambda row: jnp.zeros(count + 1, bool).at[row].set(True)[:-1]
  )(flat)
  here &= classes != IGNORE
  order = jnp.where(here, jnp.arange(count), count)
  ids = jnp.sort(order, 1)[:, :most]
  kinds = jnp.take_along_axis(classes, ids.clip(0, count - 1), 1)
  return Segments(numbers, jnp.where(ids < count, ids, NOTHING), kinds)


def match(cost: jax.Array, valid: jax.Array) -> jax.Array:
  """Returns the query that each segment is matched to, of least total cost.

  Args:
    cost: [B, T, Q], with no more segments than queries.
    valid: [B, T], which segments are there. The others get queries that are
      left.

  Returns:
    [B, T] int32, no query twice.

  References:
    Kuhn, The Hungarian method for the assignment problem, 1955.
  """
  segments, queries = cost.shape[1:]
  if segments > queries:
    raise ValueError(
        f'{segments} segments cannot each have one of {queries} queries.'
    )
  # A row of zeros takes whatever is left and changes nothing for the others; a
  # cost that is not finite would never let the search end.
  cost = jnp.where(valid[..., None], jnp.nan_to_num(cost), 0.0)

  def assign(cost):
    rows, columns = optax.assignment.hungarian_algorithm(cost)
    return jnp.zeros(segments, jnp.int32).at[rows].set(columns)

  return jax.vmap(assign)(lax.stop_gradient(cost))
