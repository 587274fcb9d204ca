"""Edges of a label map, and losses that tie edges and classes together.

Gated-SCNN, https://arxiv.org/abs/1907.05740, section 3.3, as its authors' code
computes it.
"""

import jax
import jax.numpy as jnp

from segjax import parallel
from segjax.ops.reduce import mean_over
from segjax.ops.targets import class_logits
from segjax.ops.targets import one_hot


def class_edges(
    labels: jax.Array, num_classes: int, radius: int = 2
) -> jax.Array:
  """Returns where another class is near.

  Class 0, ignored pixels and what is outside of the image are one class, so
  that there is no edge between them: in the authors' code they have no planes.

  Args:
    labels: [B, H, W], integers in [0, `num_classes`); others are ignored.
    num_classes: number of classes.
    radius: largest distance to the middle of a pixel of another class.

  Returns:
    [B, H, W] bool.
  """
  kinds = jnp.where((labels > 0) & (labels < num_classes), labels, 0)
  rows, columns = labels.shape[1:]
  padded = jnp.pad(kinds, ((0, 0), (radius, radius), (radius, radius)))
  reach = range(-radius, radius + 1)
  edge = jnp.zeros(labels.shape, bool)
  for y in reach:
    for x in reach:
      if 0 < y * y + x * x <= radius * radius:
        top, left = radius + y, radius + x
        other = padded[:, top : top + rows, left : left + columns]
        edge |= other != kinds
  return edge


def edge_loss(scores: jax.Array, edges: jax.Array) -> jax.Array:
  """Computes a sigmoid cross entropy in which edges count as much as the rest.

  Args:
    scores: [B, H, W, 1], taken as logits.
    edges: [B, H, W], bool.

  Returns:
    A float32 scalar, the mean over all pixels. Pixels on edges have the share
    of other pixels in the global batch as their weight, and others that of
    edges.
  """
  scores = scores[..., 0].astype(jnp.float32)
  share = parallel.pmean(edges.mean())
  weight = jnp.where(edges, 1 - share, share)
  entropy = jax.nn.softplus(jnp.where(edges, -scores, scores))
  return mean_over((weight * entropy).sum(), edges.size)


def gumbel(draws: jax.Array) -> jax.Array:
  """Returns Gumbel noise of draws from 0 to 1, as the authors' code does."""
  return -jnp.log(1e-10 - jnp.log(draws + 1e-10))


def dual_task_loss(
    logits: jax.Array,
    labels: jax.Array,
    noise: jax.Array,
    *,
    temperature: float = 0.5,
    ignore: int = 255,
) -> jax.Array:
  """Compares the edges of sampled classes with those of the label map.

  The released code takes no differences between pixels for edges: what it
  compares is sqrt(2 p^2 + 1e-6) of probabilities and of one-hot labels, each
  divided by its largest value in the batch. So it is here.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K). Others are ignored like `ignore`:
      logits are 0 there and the label is 0.
    noise: [B, H, W, K], or [B, H, W, 2] if K is 1; see `gumbel`.
    temperature: that logits and noise are divided by.
    ignore: label of pixels without a class.

  Returns:
    A float32 scalar, the mean over pixels and classes.
  """
  logits = class_logits(logits)
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  target = target.at[..., :1].add(1.0 - valid)
  sampled = (jnp.where(valid, logits, 0.0) + noise) / temperature
  difference = _magnitude(jax.nn.softmax(sampled)) - _magnitude(target)
  return mean_over(jnp.abs(difference).sum(), difference.size)


def _magnitude(x):
  """Returns what the code has for a gradient, of which the largest is 1."""
  values = jnp.sqrt(2 * x * x + 1e-6)
  return values / parallel.all_gather(values.max()[None]).max()
