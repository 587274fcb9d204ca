"""What losses compare: the target of each pixel, and its probabilities.

Logits of one channel are those of a sigmoid, for the two classes 0 and 1. A
sigmoid of z is a softmax of (0, z), so both have the same meaning.
"""

import jax
import jax.numpy as jnp


def one_hot(labels, channels, ignore):
  """Returns the target of each pixel, and which pixels have one.

  Args:
    labels: [B, H, W], integers.
    channels: K, those of the logits. Where it is 1, labels are 0 and 1, and
      the channel is that of class 1.
    ignore: label of pixels without a target; a label of no class is another.

  Returns:
    The target, [B, H, W, K] in float32, 0 in all channels of a pixel without;
    and the valid pixels, [B, H, W, 1] of booleans.
  """
  num_classes = max(channels, 2)
  valid = (labels != ignore) & (labels >= 0) & (labels < num_classes)
  labels, valid = labels[..., None], valid[..., None]
  target = (labels == jnp.arange(num_classes)[-channels:]) & valid
  return target.astype(jnp.float32), valid


def class_logits(logits):
  """Returns float32 logits with a channel for every class: two at the least."""
  logits = logits.astype(jnp.float32)
  if logits.shape[-1] > 1:
    return logits
  return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)


def probabilities(logits):
  """Returns float32 probabilities of the channels of logits [B, H, W, K]."""
  logits = logits.astype(jnp.float32)
  if logits.shape[-1] > 1:
    return jax.nn.softmax(logits)
  return jax.nn.sigmoid(logits)


def shrink_label(labels: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Returns the label at the middle of each cell of a coarser grid.

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
