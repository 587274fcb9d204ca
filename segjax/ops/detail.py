"""Outlines of a label map, and a loss of scores that tell where they are."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.resize import resize
from segjax.ops.targets import one_hot


def detail_target(labels: jax.Array) -> jax.Array:
  """Returns where a label map has outlines, on two grids.

  A pixel is on an outline if a Laplacian of the class numbers is positive
  there, or at the pixel of the grid with stride 2 that it belongs to. Classes
  are taken as numbers, 255 of ignored pixels as well, and beyond the border of
  the image there are zeros, as in the code of mmsegmentation and the authors.
  They have a grid with stride 4 too; its weight of 0.1 is not above their
  threshold of 0.1, so that it changes nothing.

  Args:
    labels: [B, H, W], integers.

  Returns:
    [B, H, W] int32, 1 on outlines and 0 elsewhere.

  References:
    Fan et al., Rethinking BiSeNet, 2021, https://arxiv.org/abs/2104.13188,
    section 3.3.
  """
  labels = labels.astype(jnp.int32)
  padded = jnp.pad(labels, ((0, 0), (1, 1), (1, 1)))
  rows, columns = labels.shape[1:]
  total = sum(
      padded[:, i : i + rows, j : j + columns]
      for i in range(3)
      for j in range(3)
  )
  outline = 9 * labels - total > 0
  coarse = outline[:, ::2, ::2, None].astype(jnp.float32)
  coarse = resize(coarse, (rows, columns), method='nearest')[..., 0] > 0
  return (outline | coarse).astype(jnp.int32)


def detail_loss(
    logits: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Computes the sigmoid cross entropy and the Dice loss of outlines.

  Args:
    logits: [B, H, W, C], unnormalised: C is 1, scores of outlines, or 2, where
      the first channel has scores of all other pixels.
    labels: [B, H, W], integers; see `detail_target`.

  Returns:
    Two float32 scalars: the mean over pixels and channels, and the mean over
    images of 1 - 2 * sum(p * t) / (sum(p * p) + sum(t * t)), with p and t of
    all channels and 0.001 added to both sums.

  References:
    STDC, section 3.3; the factors and sums are mmsegmentation's.
  """
  logits = logits.astype(jnp.float32)
  target, _ = one_hot(detail_target(labels), logits.shape[-1], ignore=255)
  entropy = -(
      target * jax.nn.log_sigmoid(logits)
      + (1 - target) * jax.nn.log_sigmoid(-logits)
  )
  probs = jax.nn.sigmoid(logits)
  hits, predicted, true = (
      x.sum((1, 2, 3)) for x in (probs * target, probs * probs, target)
  )
  dice = 1 - 2 * hits / (predicted + true + 2e-3)
  return (
      mean_over(entropy.sum(), entropy.size),
      mean_over(dice.sum(), dice.size),
  )
