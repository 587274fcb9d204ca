"""Boundaries between classes of a label map, and a loss of scores of them."""

import jax
import jax.numpy as jnp

from segjax import parallel
from segjax.ops.pool import max_pool
from segjax.ops.reduce import mean_over


def boundary_target(
    labels: jax.Array, *, width: int = 4, ignore: int = 255
) -> jax.Array:
  """Returns where two classes meet in a label map.

  A pixel is marked if it differs from the one above it, right of it or below it
  on the right, or if the one on its left in the row below differs; then each
  mark grows to a square. Ignored pixels differ from none.

  Args:
    labels: [B, H, W], integers.
    width: rows and columns of the square around a mark; of an even one, the
      larger half lies below the mark and on its right.
    ignore: label of pixels of no class.

  Returns:
    [B, H, W] int32, 1 at boundaries and 0 elsewhere.

  References:
    mmsegmentation 1.2.2, `GenerateEdge`, after https://arxiv.org/abs/1809.05996.
  """
  labels = labels.astype(jnp.int32)
  rows, columns = labels.shape[1:]
  # A border of ignored pixels, which differ from none.
  padded = jnp.pad(labels, ((0, 0), (1, 1), (1, 1)), constant_values=ignore)
  marks = jnp.zeros(labels.shape, bool)
  for down, right in ((-1, 0), (0, 1), (1, 1), (1, -1)):
    other = padded[
        :, 1 + down : 1 + down + rows, 1 + right : 1 + right + columns
    ]
    marks |= (labels != other) & (labels != ignore) & (other != ignore)
  before, behind = width - 1 - width // 2, width // 2
  grown = max_pool(
      marks[..., None].astype(jnp.float32),
      (width, width),
      (1, 1),
      ((behind, before), (behind, before)),
  )
  return (grown[..., 0] > 0).astype(jnp.int32)


def boundary_loss(logits: jax.Array, target: jax.Array) -> jax.Array:
  """Computes the sigmoid cross entropy of boundaries, of balanced weights.

  Pixels at boundaries weigh as much as the share of all others in the global
  batch, and the others as much as the share of boundaries.

  Args:
    logits: [B, H, W, 1], unnormalised.
    target: [B, H, W], 1 at boundaries and 0 elsewhere.

  Returns:
    A float32 scalar, the mean over all pixels.

  References:
    PIDNet, https://arxiv.org/abs/2206.02066.
  """
  logits = logits[..., 0].astype(jnp.float32)
  target = target.astype(jnp.float32)
  share = parallel.pmean(target.mean())
  positive = (1 - share) * target * jax.nn.log_sigmoid(logits)
  negative = share * (1 - target) * jax.nn.log_sigmoid(-logits)
  return mean_over(-(positive + negative).sum(), target.size)
