"""ConvCRF as a layer that learns."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops import convcrf


class ConvCRF(nn.Module):
  """Mean field over pairs in a window, with all its numbers learnt.

  Teichmann and Cipolla, https://arxiv.org/abs/1805.04777, section 4. As in the
  authors' code, widths are kept as their reciprocals, the kernel of colours
  sees colours alone, and the message of a class has a weight against the unary.
  """

  window: int = 11  # Its side, odd, in cells.
  blur: int = 4  # Side of a cell, in pixels.
  iterations: int = 5
  position: tuple[float, float] = (3.0, 3.0)  # Weight and width, at first.
  color: tuple[float, float] = (10.0, 13.0)
  weight: float = 0.2  # Of the messages, at first.
  mix: bool = True  # Whether messages of classes are mixed, by a matrix.

  @nn.compact
  def __call__(self, unary, image):
    """Returns logits [B, H, W, K].

    Args:
      unary: logits [B, H, W, K].
      image: [B, H, W, 3], in colours of 0 to 255, or shifted from these.
    """
    classes = unary.shape[-1]

    def number(name, value, shape=(1,)):
      init = nn.initializers.constant(value)
      return self.param(name, init, shape).astype(jnp.float32)

    weights = (
        number('position_weight', self.position[0]),
        number('color_weight', self.color[0]),
    )
    position_scale = number('position_scale', 1 / self.position[1])
    color_scale = number('color_scale', 1 / self.color[1])
    weight = number('weight', self.weight, (classes,))
    if self.mix:
      init = nn.initializers.normal(0.1 * (2 / classes) ** 0.5)
      matrix = self.param('compatibility', init, (classes, classes))
      matrix = matrix.astype(jnp.float32)

    def one(pair):
      logits, colors = pair
      feats = convcrf.features(colors, position_scale, color_scale)
      kernels = list(zip(weights, feats, strict=True))
      message = convcrf.message(kernels, self.window, self.blur)
      if self.mix:
        message = convcrf.mixed(message, matrix)
      return convcrf.mean_field(logits, message, self.iterations, weight=weight)

    pairs = unary.astype(jnp.float32), image.astype(jnp.float32)
    return jax.lax.map(one, pairs).astype(unary.dtype)
