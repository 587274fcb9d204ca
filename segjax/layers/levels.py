"""Levels of a backbone as one map."""

from collections.abc import Mapping
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from segjax.ops.resize import resize


def join_levels(
    feats: Mapping[str, jax.Array],
    levels: Sequence[str] = ('c2', 'c3', 'c4', 'c5'),
    *,
    align_corners: bool = False,
) -> jax.Array:
  """Enlarges levels to the size of the first one, and concatenates them.

  Of an HRNet this is the head V2 of https://arxiv.org/abs/1908.07919, figure
  4b, without its convolution.

  Args:
    feats: {level: features [B, h, w, C]} of the backbone.
    levels: which of them, the finest first.
    align_corners: whether enlarging aligns the centres of corner pixels.

  Returns:
    [B, h, w, D] at the size of the first level.
  """
  size = feats[levels[0]].shape[1:3]
  return jnp.concatenate(
      [
          resize(feats[level], size, align_corners=align_corners)
          for level in levels
      ],
      -1,
  )
