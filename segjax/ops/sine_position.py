"""Position embeddings by sines and cosines of rows and columns."""

import math

import numpy as np

TEMPERATURE = 10_000.0


def sine_position(size: tuple[int, int], features: int) -> np.ndarray:
  """Returns an embedding of each position of a map.

  Rows and columns are parts of the map's sides, from just above 0 to 2 pi. Half
  of the channels tell the row, the others the column, by waves of falling
  frequencies; sine and cosine of a frequency follow each other.

  Args:
    size: (height, width) of the map.
    features: number of channels, a multiple of 4.

  Returns:
    [height, width, features] in float32.

  References:
    Vaswani et al., Attention Is All You Need, 2017,
    https://arxiv.org/abs/1706.03762, section 3.5, as DETR has it for images,
    https://arxiv.org/abs/2005.12872.
  """
  half = features // 2
  scale = TEMPERATURE ** (2 * (np.arange(half) // 2) / half)
  axes = []
  for side in size:
    place = np.arange(1, side + 1) / (side + 1e-6) * 2 * math.pi
    waves = place[:, None] / scale
    pairs = np.sin(waves[:, ::2]), np.cos(waves[:, 1::2])
    axes.append(np.stack(pairs, -1).reshape(side, half))
  shape = *size, half
  rows = np.broadcast_to(axes[0][:, None], shape)
  columns = np.broadcast_to(axes[1], shape)
  return np.concatenate([rows, columns], -1).astype(np.float32)
