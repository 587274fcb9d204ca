"""Region mutual information loss."""

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops.reduce import mean_over
from segjax.ops.residuals import residual_log_det
from segjax.ops.targets import one_hot


def rmi(
    logits: jax.Array,
    labels: jax.Array,
    *,
    radius: int = 3,
    pool: int = 4,
    ridge: float = 5e-4,
    ignore: int = 255,
) -> jax.Array:
  """Computes how much of the label in small regions the prediction leaves open.

  Probabilities, by a sigmoid for each class, and labels are averaged over cells
  of `pool` x `pool` pixels. A region is `radius` x `radius` cells, a vector of
  as many numbers. The loss of a class in an image is half the log determinant
  of the covariance that the vectors of the label have when those of the
  probabilities are known, divided by their length. It is negative where
  predictions are good, and is meant to be added to a cross entropy.

  A class that does not occur in an image has a constant loss there.

  Args:
    logits: [B, H, W, K], unnormalised.
    labels: [B, H, W], integers in [0, K), or 0 and 1 if K is 1. Other labels
      are ignored like `ignore`.
    radius: rows and columns of a region, in cells.
    pool: rows and columns of a cell, in pixels.
    ridge: added to the diagonals of covariances, which are not divided by the
      number of regions.
    ignore: label of pixels that do not count: probability and label are 0.

  Returns:
    A float32 scalar, summed over classes and averaged over the images that have
    a valid pixel; 0 if there is none.

  Raises:
    ValueError: images are too small for a single region.

  References:
    Zhao et al., Region Mutual Information Loss for Semantic Segmentation, 2019,
    https://arxiv.org/abs/1910.12037, as NVIDIA/semantic-segmentation computes
    it, by inverse and Cholesky decomposition in float64. See
    `residual_log_det` for how it is computed here in float32.
  """
  target, valid = one_hot(labels, logits.shape[-1], ignore)
  probs = valid * jax.nn.sigmoid(logits.astype(jnp.float32))
  probs, target = _cells(probs, pool), _cells(target, pool)
  if min(probs.shape[1:3]) < radius:
    least = radius * pool - pool // 2 * 2
    raise ValueError(
        f'rmi(radius={radius}, pool={pool}) wants images of at least'
        f' {least} x {least} pixels, and these have {logits.shape[1]} x'
        f' {logits.shape[2]}: lower radius or pool.'
    )
  x, y = _regions(probs, radius), _regions(target, radius)
  loss = 0.5 * residual_log_det(x, y, ridge).sum(-1) / radius**2
  counted = valid.any((1, 2, 3))
  return mean_over((loss * counted).sum(), counted.sum())


def _cells(x, side):
  """Averages cells of pixels, [B, H, W, K] to [B, h, w, K].

  The first cell begins `side` // 2 zeros in front of the image, and the last
  one ends at most as many behind it.
  """
  border = side // 2
  x = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
  rows, columns = (length // side for length in x.shape[1:3])
  x = x[:, : rows * side, : columns * side]
  x = x.reshape(len(x), rows, side, columns, side, x.shape[-1])
  return x.mean((2, 4))


def _regions(x, side):
  """Returns the regions of maps [B, h, w, K], centred: [B, K, side^2, N]."""
  rows, columns = (length - side + 1 for length in x.shape[1:3])
  x = jnp.stack(
      [
          x[:, i : i + rows, j : j + columns].reshape(
              len(x), rows * columns, -1
          )
          for i, j in np.ndindex(side, side)
      ],
      1,
  )
  x = x.transpose(0, 3, 1, 2)
  return x - x.mean(-1, keepdims=True)
