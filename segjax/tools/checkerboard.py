"""Draws what ways of upsampling paint before anything is learnt.

  python -m segjax.tools.checkerboard --output=checkerboard.png

Three layers with random weights double the size of a smooth picture each, as at
the end of a decoder. A transposed convolution whose kernel is no multiple of
its stride paints a checkerboard; see `segjax.layers.upsample`.
"""

import functools

from absl import app
from absl import flags
from etils import epath
from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from segjax.artifacts import pictures
from segjax.data import image as images
from segjax.layers.upsample import upsample
from segjax.runtime import terminal

# Modes with the other arguments of `upsample`, by the words above a picture.
WAYS = {
    'transposed, kernel 3': (
        'transposed',
        dict(kernel=3, padding=1, output_padding=1),
    ),
    'transposed, kernel 4': ('transposed', dict(kernel=4, padding=1)),
    'transposed, kernel 2': ('transposed', dict(kernel=2)),
    'subpixel': ('subpixel', dict(kernel=2)),
    'nearest, then convolution': ('nearest', dict(kernel=2)),
    'bilinear, then convolution': ('bilinear', dict(kernel=2)),
}


class Decoder(nn.Module):
  """Three times doubles the size by a way of `WAYS`, with ReLUs between."""

  way: str
  features: int = 16

  @nn.compact
  def __call__(self, x):
    mode, options = WAYS[self.way]
    double = functools.partial(upsample, mode, **options)
    for i in (1, 2):
      x = nn.relu(double(self.features, name=f'up{i}')(x))
    return double(3, name='up3')(x)


def draw(seed: int = 0, side: int = 24) -> np.ndarray:
  """Returns the pictures of all ways side by side, [H, W, 3] uint8.

  Args:
    seed: of the weights and of the picture.
    side: rows and columns of what is enlarged 8 times.
  """
  key, weights = jax.random.split(jax.random.key(seed))
  noise = jax.random.normal(key, (1, 4, 4, 8))
  x = jax.image.resize(noise, (1, side, side, 8), 'cubic')
  drawn = []
  for way in WAYS:
    y, _ = Decoder(way).init_with_output(weights, x)
    y = (y - y.min()) / jnp.maximum(y.max() - y.min(), 1e-6)
    picture = np.rint(255 * np.asarray(y[0])).astype(np.uint8)
    drawn.append(pictures.captioned(picture, way))
  return pictures.grid(drawn, columns=3)


def main(argv):
  """Writes the picture."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  with terminal.errors_in_words():
    images.write_png(epath.Path(_OUTPUT.value), draw())


if __name__ == '__main__':
  _OUTPUT = flags.DEFINE_string('output', None, 'PNG file to write.')
  flags.mark_flag_as_required('output')
  app.run(main, flags_parser=terminal.parse_flags)
