"""Object-contextual representations, https://arxiv.org/abs/1909.11065."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.layers.attention import Attention
from segjax.layers.conv import ConvNormAct


def object_regions(x: jax.Array, scores: jax.Array) -> jax.Array:
  """Averages features over the pixels of each class of a coarse segmentation.

  The weights of a class are a softmax of its scores over all pixels; softmax
  and sums are float32.

  Args:
    x: [B, h, w, C], any float type.
    scores: [B, h, w, K], coarse and unnormalised.

  Returns:
    [B, K, C] in the type of `x`.

  References:
    Section 3.2 of the paper, equation 1.
  """
  weights = jax.nn.softmax(scores.astype(jnp.float32), axis=(1, 2))
  regions = jnp.einsum(
      'bhwk,bhwc->bkc',
      weights.astype(x.dtype),
      x,
      preferred_element_type=jnp.float32,
  )
  return regions.astype(x.dtype)


class ObjectContext(nn.Module):
  """Joins the features of pixels with what they gather from object regions.

  Each pixel attends to the regions of all classes, see `object_regions`;
  figure 3 of the paper, from the pixel representations on.
  """

  features: int = 512
  key_features: int = 256
  bias: bool = False  # Of the first convolution, in front of its norm.

  @nn.compact
  def __call__(self, x, scores, train):
    """Returns [B, h, w, features].

    Args:
      x: features of the backbone, [B, h, w, C].
      scores: coarse scores of the classes, [B, h, w, K].
      train: whether norms take their statistics from the batch.
    """
    pixels = ConvNormAct(self.features, bias=self.bias, name='pixels')(x, train)
    regions = object_regions(pixels, scores)
    context = Attention(
        self.key_features,
        self.key_features,
        depth=2,
        value_depth=1,
        name='attention',
    )(pixels, regions[:, :, None], train)
    context = ConvNormAct(self.features, kernel=1, name='project')(
        context, train
    )
    return ConvNormAct(self.features, kernel=1, name='fuse')(
        jnp.concatenate([context, pixels], -1), train
    )
