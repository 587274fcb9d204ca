"""ConvCRF as a layer with trained parameters."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops import convcrf


class ConvCRF(nn.Module):
  """Runs mean-field inference in a CRF whose pairs lie in a window.

  Teichmann and Cipolla, https://arxiv.org/abs/1805.04777, section 4. All
  weights and widths are trained. As in the authors' code, the parameters hold
  the reciprocals of the widths, the kernel of colours ignores positions, and
  each class has a weight for its messages relative to its unary.
  """

  window: int = 11  # Odd number of cells along a side of the window.
  blur: int = 4  # Pixels along a side of a cell.
  iterations: int = 5
  position: tuple[float, float] = (3.0, 3.0)  # Initial weight and width.
  color: tuple[float, float] = (10.0, 13.0)  # Initial weight and width.
  weight: float = 0.2  # Initial weight of the messages.
  mix: bool = True  # Whether a trained [K, K] matrix mixes messages of classes.

  @nn.compact
  def __call__(self, unary, image):
    """Returns logits [B, H, W, K].

    Args:
      unary: logits [B, H, W, K].
      image: [B, H, W, 3], colours from 0 to 255, with or without an offset.
    """
    classes = unary.shape[-1]

    def parameter(name, value, shape=(1,)):
      init = nn.initializers.constant(value)
      return self.param(name, init, shape).astype(jnp.float32)

    weights = (
        parameter('position_weight', self.position[0]),
        parameter('color_weight', self.color[0]),
    )
    position_scale = parameter('position_scale', 1 / self.position[1])
    color_scale = parameter('color_scale', 1 / self.color[1])
    weight = parameter('weight', self.weight, (classes,))
    if self.mix:
      init = nn.initializers.normal(0.1 * (2 / classes) ** 0.5)
      matrix = self.param('compatibility', init, (classes, classes))
      matrix = matrix.astype(jnp.float32)

    def refine_image(pair):
      logits, colors = pair
      feats = convcrf.features(colors, position_scale, color_scale)
      kernels = list(zip(weights, feats, strict=True))
      message = convcrf.message(kernels, self.window, self.blur)
      if self.mix:
        message = convcrf.mixed(message, matrix)
      return convcrf.mean_field(logits, message, self.iterations, weight=weight)

    pairs = unary.astype(jnp.float32), image.astype(jnp.float32)
    return jax.lax.map(refine_image, pairs).astype(unary.dtype)
