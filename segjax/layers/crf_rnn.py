"""A dense CRF as a layer that learns: CRF-RNN."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops import crf
from segjax.ops import gaussian


def scaled_eye(scale):
  """Returns the initializer of `scale` times the identity, [K, K]."""
  return lambda key, shape, dtype=jnp.float32: scale * jnp.eye(
      *shape, dtype=dtype
  )


class CRFRNN(nn.Module):
  """Mean field of a dense CRF with learnt weights and compatibility.

  Zheng et al., https://arxiv.org/abs/1502.03240, section 4: an iteration
  filters the probabilities of all classes with both kernels, mixes the classes
  of each by a matrix, and the classes of the sum by the compatibility. The
  matrices begin as 3, 5 and 1 times the identity; as in the authors' PyTorch
  and not their Keras code, the result is added to the unary.

  Kernels are divided by their row sums, and have no gradient to the image. The
  bilateral kernel is exact up to 64 x 64 pixels and a lattice's beyond.
  """

  iterations: int = 10
  # Of positions and colours of the bilateral kernel, and of the Gaussian.
  widths: tuple[float, float, float] = (160.0, 3.0, 3.0)

  @nn.compact
  def __call__(self, unary, image):
    """Returns logits [B, H, W, K].

    Args:
      unary: logits [B, H, W, K].
      image: [B, H, W, 3], in colours of 0 to 255, or shifted from these.
    """
    size = (unary.shape[-1],) * 2
    spatial, bilateral, compatibility = (
        self.param(name, scaled_eye(scale), size).astype(jnp.float32)
        for name, scale in (
            ('spatial', 3.0),
            ('bilateral', 5.0),
            ('compatibility', 1.0),
        )
    )
    position_width, color_width, width = self.widths

    def one(pair):
      logits, colors = pair
      feats = crf.bilateral_features(colors, position_width, color_width)
      valid = jnp.ones((*feats.shape[:2], 1))
      near, alike = (
          crf.normalized(kernel, 'after', valid)
          for kernel in (gaussian.spatial(width), crf.bilateral(feats))
      )

      def message(q):
        mixed = mix(spatial, near(q)) + mix(bilateral, alike(q))
        return mix(compatibility, mixed)

      return crf.mean_field(logits, message, self.iterations)

    pairs = unary.astype(jnp.float32), image.astype(jnp.float32)
    return jax.lax.map(one, pairs).astype(unary.dtype)


def mix(matrix, x):
  """Multiplies the classes of x [H, W, K] by a matrix from the left."""
  return jnp.dot(x, matrix.T, precision=jax.lax.Precision.HIGHEST)
