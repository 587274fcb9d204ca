"""Targets and probabilities of pixels, which losses compare.

Logits with one channel belong to a sigmoid over the classes 0 and 1. A sigmoid
of z is the softmax of (0, z), so losses handle both alike.
"""

import jax
import jax.numpy as jnp


def one_hot(
    labels: jax.Array, channels: int, ignore: int
) -> tuple[jax.Array, jax.Array]:
  """Returns one-hot targets, and the mask of the pixels that have one.

  Args:
    labels: [B, H, W], integers.
    channels: number K of channels of the logits. If it is 1, the labels are 0
      and 1 and the channel is that of class 1.
    ignore: label of pixels without a target. Labels outside the classes are
      ignored, too.

  Returns:
    The targets, [B, H, W, K] float32, 0 in all channels of ignored pixels; and
    the valid pixels, [B, H, W, 1] booleans.
  """
  num_classes = max(channels, 2)
  valid = (labels != ignore) & (labels >= 0) & (labels < num_classes)
  labels, valid = labels[..., None], valid[..., None]
  target = (labels == jnp.arange(num_classes)[-channels:]) & valid
  return target.astype(jnp.float32), valid


def class_logits(logits: jax.Array) -> jax.Array:
  """Returns float32 logits [B, H, W, K] with K >= 2, for a softmax.

  Logits of one channel get a channel of zeros for class 0.
  """
  logits = logits.astype(jnp.float32)
  if logits.shape[-1] > 1:
    return logits
  return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)


def probabilities(logits: jax.Array) -> jax.Array:
  """Returns float32 probabilities of logits [B, H, W, K].

  They are a softmax, or a sigmoid if K is 1.
  """
  logits = logits.astype(jnp.float32)
  if logits.shape[-1] > 1:
    return jax.nn.softmax(logits)
  return jax.nn.sigmoid(logits)


def shrink_label(labels: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Subsamples labels at the centres of the cells of a coarser grid.

  Args:
    labels: [B, H, W].
    size: (height, width) of the grid.

  Returns:
    [B, height, width]: cell i is pixel (i + 0.5) * old / new, rounded down.
  """
  for axis, new in enumerate(size, 1):
    old = labels.shape[axis]
    places = ((2 * jnp.arange(new) + 1) * old) // (2 * new)
    labels = jnp.take(labels, places, axis=axis)
  return labels
