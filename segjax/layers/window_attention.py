"""Attention within windows of a map, which may be shifted."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops.window_partition import from_windows
from segjax.ops.window_partition import joined_by_shift
from segjax.ops.window_partition import relative_positions
from segjax.ops.window_partition import to_windows

normal = nn.initializers.normal(0.02)
APART = -100.0  # Added to scores of pixels that a shift brought together.


class WindowAttention(nn.Module):
  """Applies multi-head attention within windows, https://arxiv.org/abs/2103.14030.

  Scores have a learnt bias for the relative position of two pixels (equation
  4). With a shift, the map is rolled before it is cut, and pixels that come
  together from different ends of it do not see each other (figure 4). Sides
  that are no multiples of the window are padded with zeros below and on the
  right, which take part.
  """

  heads: int
  window: int  # Rows and columns of a window.
  shifted: bool = False  # By half a window.
  # An axis that is no longer than a window is one window without shift, as in
  # timm and the authors' classifiers; else it is padded to a window.
  shrink: bool = False

  @nn.compact
  def __call__(self, x):
    size = x.shape[1:3]
    window, shift = zip(*map(self._cut, size), strict=True)
    border = [(0, -side % n) for side, n in zip(size, window, strict=True)]
    x = jnp.pad(x, ((0, 0), *border, (0, 0)))
    padded = x.shape[1:3]
    x = jnp.roll(x, [-n for n in shift], (1, 2))
    x = self._attend(to_windows(x, window), window, shift, padded)
    x = jnp.roll(from_windows(x, window, padded), shift, (1, 2))
    return x[:, : size[0], : size[1]]

  def _cut(self, side):
    """Returns the window and the shift along an axis."""
    if self.shrink and side <= self.window:
      return side, 0
    return self.window, self.window // 2 if self.shifted else 0

  def _attend(self, x, window, shift, size):
    """Applies attention to windows [B, N, P, C] of a map of (H, W)."""
    batch, number, pixels, channels = x.shape
    qkv = nn.Dense(3 * channels, kernel_init=normal, name='qkv')(x)
    # [3, B, N, heads, P, channels of a head].
    qkv = qkv.reshape(batch, number, pixels, 3, self.heads, -1)
    query, key, value = qkv.transpose(3, 0, 1, 4, 2, 5)
    table = self.param(
        'positions', normal, (1, (2 * self.window - 1) ** 2, self.heads)
    )
    bias = table[0, relative_positions(window, self.window - 1)]
    scores = jnp.einsum(
        'bnhpd,bnhqd->bnhpq',
        query * (channels // self.heads) ** -0.5,
        key,
        preferred_element_type=jnp.float32,
    )
    scores += bias.transpose(2, 0, 1).astype(jnp.float32)
    if any(shift):
      joined = joined_by_shift(size, window, shift)[:, None]
      scores += jnp.where(joined, 0.0, APART)
    weights = jax.nn.softmax(scores).astype(x.dtype)
    x = jnp.einsum('bnhpq,bnhqd->bnphd', weights, value)
    x = x.reshape(batch, number, pixels, channels)
    return nn.Dense(channels, kernel_init=normal, name='out')(x)
