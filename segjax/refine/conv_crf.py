"""CRF of the pairs of pixels in a window, https://arxiv.org/abs/1805.04777.

It returns probabilities of labels that agree more where pixels are near and
colours alike.
"""

import dataclasses
import functools

import jax
import numpy as np

from segjax.ops import convcrf
from segjax.ops import crf


@dataclasses.dataclass(frozen=True)
class ConvCRF:
  """CRF of the pairs in a window, https://arxiv.org/abs/1805.04777.

  The defaults are those of the authors' demo.
  """

  gaussian: tuple = (3.0, 3.0)  # Weight, width in pixels.
  # Weight, width in pixels, width in colours of 0 to 255. With 0 pixels, as in
  # the authors' code by default, colours decide alone.
  bilateral: tuple = (10.0, 0.0, 13.0)
  window: int = 7  # Its side, odd, in cells.
  blur: int = 4  # Side of a cell, in pixels.
  weight: float = 0.2  # Of messages, of 1.
  iterations: int = 5

  def __post_init__(self):
    crf.check_kernel('gaussian', self.gaussian, 'weight', 'width')
    names = 'weight', 'width or 0', 'color width'
    crf.check_kernel('bilateral', self.bilateral, *names)
    convcrf.check_window(self.window, self.blur)
    crf.check_iterations(self.iterations)

  def __call__(self, example, probabilities):
    """Returns better probabilities, [H, W, K]."""
    image = example['raw']
    crf.check_inputs(probabilities, image)
    width, color_width = self.bilateral[1:]
    q = _convcrf(
        crf.log_probabilities(probabilities),
        image,
        (self.gaussian[0], self.bilateral[0]),
        (1 / self.gaussian[1], 1 / color_width, 1 / width if width else 0.0),
        self.weight,
        window=self.window,
        blur=self.blur,
        iterations=self.iterations,
    )
    return np.asarray(q)


@functools.partial(jax.jit, static_argnames=('window', 'blur', 'iterations'))
def _convcrf(
    unary, image, weights, scales, weight, *, window, blur, iterations
):
  feats = convcrf.features(image, *scales)
  kernels = list(zip(weights, feats, strict=True))
  message = convcrf.message(kernels, window, blur)
  return jax.nn.softmax(
      convcrf.mean_field(unary, message, iterations, weight=weight)
  )


build = ConvCRF
