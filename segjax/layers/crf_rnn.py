"""A dense CRF as a layer with trained parameters: CRF-RNN."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops import crf
from segjax.ops import gaussian


def scaled_eye(scale):
  """Returns an initialiser: `scale` times the identity matrix, [K, K]."""
  return lambda key, shape, dtype=jnp.float32: scale * jnp.eye(
      *shape, dtype=dtype
  )


class CRFRNN(nn.Module):
  """Runs mean-field inference in a dense CRF with trained class matrices.

  Zheng et al., https://arxiv.org/abs/1502.03240, section 4. Each iteration
  filters the class probabilities with a Gaussian and a bilateral kernel,
  multiplies the classes of each result by its matrix, adds the two, and
  multiplies the classes of the sum by the compatibility matrix. The matrices
  are initialised to 3, 5 and 1 times the identity. The result is added to the
  unary, as in the authors' PyTorch code and unlike in their Keras code.

  The kernels are divided by their row sums, and no gradient flows through them
  to the image. The bilateral filter sums over all pairs of pixels up to 64 x 64
  pixels, and is approximated on a permutohedral lattice for larger images.
  """

  iterations: int = 10
  # Standard deviations: positions (pixels) and colours (0 to 255) of the
  # bilateral kernel, and positions of the Gaussian kernel.
  widths: tuple[float, float, float] = (160.0, 3.0, 3.0)

  @nn.compact
  def __call__(self, unary, image):
    """Returns logits [B, H, W, K].

    Args:
      unary: logits [B, H, W, K].
      image: [B, H, W, 3], colours from 0 to 255, with or without an offset.
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

    def refine_image(pair):
      logits, colors = pair
      feats = crf.bilateral_features(colors, position_width, color_width)
      valid = jnp.ones((*feats.shape[:2], 1))
      filter_spatial, filter_bilateral = (
          crf.normalized(kernel, 'after', valid)
          for kernel in (gaussian.spatial(width), crf.bilateral(feats))
      )

      def message(probabilities):
        mixed = mix(spatial, filter_spatial(probabilities))
        mixed += mix(bilateral, filter_bilateral(probabilities))
        return mix(compatibility, mixed)

      return crf.mean_field(logits, message, self.iterations)

    pairs = unary.astype(jnp.float32), image.astype(jnp.float32)
    return jax.lax.map(refine_image, pairs).astype(unary.dtype)


def mix(matrix, x):
  """Multiplies the class vectors of x [H, W, K] by a matrix [K, K]."""
  return jnp.dot(x, matrix.T, precision=jax.lax.Precision.HIGHEST)
