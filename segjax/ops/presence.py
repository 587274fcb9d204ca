"""Which classes occur in an image, and a loss of scores that say so."""

import jax
import jax.numpy as jnp

from segjax.ops.reduce import mean_over
from segjax.ops.targets import one_hot


def presence_loss(scores: jax.Array, labels: jax.Array) -> jax.Array:
  """Computes the semantic encoding loss of EncNet.

  It is a sigmoid cross entropy, a mean over images and classes. Ignored pixels
  are of no class; an image of them alone has none, and counts.

  Args:
    scores: [B, K], of each class in each image, unnormalised.
    labels: [B, H, W], integers in [0, K); others are of no class.

  Returns:
    A float32 scalar.

  References:
    Zhang et al., Context Encoding for Semantic Segmentation, 2018,
    https://arxiv.org/abs/1803.08904, section 3.1.
  """
  scores = scores.astype(jnp.float32)
  target, _ = one_hot(labels, scores.shape[-1], ignore=255)
  present = target.max((1, 2))
  entropy = -(
      present * jax.nn.log_sigmoid(scores)
      + (1 - present) * jax.nn.log_sigmoid(-scores)
  )
  return mean_over(entropy.sum(), entropy.size)
