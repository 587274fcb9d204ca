"""FC-DenseNet by its authors: `FC-DenseNet103_weights.npz`.

Fields: `variant='103', batch_at_test=True`, since running statistics are never
updated there.
"""

from segjax.convert.joints import flipped
from segjax.convert.joints import inverse_std
from segjax.convert.rules.lasagne import CONV
from segjax.convert.rules.lasagne import NORM
from segjax.convert.rules.lasagne import numbered

# Numbers of layers down to the bottleneck, by the variant.
DEPTHS = {
    '56': (4, 4, 4, 4, 4, 4),
    '67': (5, 5, 5, 5, 5, 5),
    '103': (4, 5, 7, 10, 12, 15),
}


def layers(depths):
  """Yields the layers with parameters from the image to the scores."""

  def norm_conv(path):
    yield f'{path}/norm', NORM
    yield f'{path}/conv', CONV

  def block(path, depth):
    for i in range(depth):
      yield from norm_conv(f'{path}/layer{i}')

  yield 'stem', CONV
  for i, depth in enumerate(depths[:-1]):
    yield from block(f'down{i}', depth)
    yield from norm_conv(f'transition_down{i}')
  yield from block('bottleneck', depths[-1])
  for i, depth in enumerate(reversed(depths[:-1])):
    yield f'transition_up{i}', CONV
    yield from block(f'up{i}', depth)
  yield 'classifier', CONV


RULES = {
    variant: (
        *numbered(layers(depths)),
        inverse_std('.*/norm', 1e-4),
        # Of the convolutions, these alone are true ones there.
        flipped(r'transition_up\d+', 'kernel', (0, 1)),
    )
    for variant, depths in DEPTHS.items()
}
