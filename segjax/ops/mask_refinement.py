"""The loss of masks that are refined from coarse to fine.

CascadePSP, https://arxiv.org/abs/2005.02551, section 3.3, as its authors' code
computes it.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from segjax.ops.reduce import mean_over

# Factors of cross entropy, and of absolute and squared differences together, of
# the outputs by stride.
FACTORS = {8: (1.0, 0.0), 4: (0.5, 0.25), 1: (0.0, 1.0)}
SMOOTHING = np.full((3, 3), 1 / 9, np.float32)
SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32) / 4


def output_loss(
    logits: jax.Array, mask: jax.Array, valid: jax.Array, stride: int
) -> jax.Array:
  """Computes the loss of one output, without that of its gradient.

  Args:
    logits: [B, H, W, 1], at the size of the mask.
    mask: [B, H, W, 1], 0 to 1; cross entropy takes 1 above a half.
    valid: [B, H, W, 1] bool, which pixels count.
    stride: that the output had: 8, 4 or 1.

  Returns:
    A float32 scalar, a sum of means over pixels.
  """
  logits = logits.astype(jnp.float32)
  target = mask > 0.5
  entropy = jax.nn.softplus(jnp.where(target, -logits, logits))
  difference = jax.nn.sigmoid(logits) - mask
  distance = jnp.abs(difference) + jnp.square(difference)
  of_entropy, of_distance = FACTORS[stride]
  loss = of_entropy * entropy + of_distance * distance
  return mean_over((loss * valid).sum(), valid.sum())


def gradient_loss(
    logits: jax.Array, mask: jax.Array, valid: jax.Array
) -> jax.Array:
  """Computes the mean absolute difference of gradients of two masks.

  Args:
    logits: [B, H, W, 1], of the mask that is predicted.
    mask: [B, H, W, 1], the true one.
    valid: [B, H, W, 1] bool, which pixels count.
  """
  predicted = jax.nn.sigmoid(logits.astype(jnp.float32))
  difference = jnp.abs(gradient(predicted) - gradient(mask))
  return mean_over((difference * valid).sum(), valid.sum())


def gradient(mask: jax.Array) -> jax.Array:
  """Returns how steep a smoothed mask [B, H, W, 1] is, by Sobel's operator."""
  smooth = _correlate(mask.astype(jnp.float32), SMOOTHING)
  across, down = _correlate(smooth, SOBEL), _correlate(smooth, SOBEL.T)
  return jnp.sqrt(jnp.square(across) + jnp.square(down) + 1e-4)


def cascade_loss(
    outputs: Mapping[str, tuple[jax.Array, int]],
    mask: jax.Array,
    valid: jax.Array,
    *,
    gradient_weight: float = 5.0,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Sums the losses of all outputs of a cascade.

  Args:
    outputs: {name: (logits [B, H, W, 1], stride that they had)}.
    mask: see `output_loss`.
    valid: see `output_loss`.
    gradient_weight: factor of the loss of the gradient of outputs at stride 1.

  Returns:
    The sum, and its terms by name; 'gradient' is without its factor.
  """
  total, parts = 0.0, {}
  for name, (logits, stride) in outputs.items():
    parts[name] = output_loss(logits, mask, valid, stride)
    total += parts[name]
    if stride == 1:
      parts['gradient'] = gradient_loss(logits, mask, valid)
      total += gradient_weight * parts['gradient']
  return total, parts


def _correlate(x, kernel):
  """Correlates [B, H, W, 1] with a 3x3 kernel; zeros are outside."""
  padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  rows, columns = x.shape[1:3]
  return sum(
      kernel[i, j] * padded[:, i : i + rows, j : j + columns]
      for i in range(3)
      for j in range(3)
      if kernel[i, j]
  )
