"""FRRN by its authors, variants 'A' and 'B'."""

from segjax.convert.joints import flipped
from segjax.convert.joints import inverse_std
from segjax.convert.rules.lasagne import CONV
from segjax.convert.rules.lasagne import NORM
from segjax.convert.rules.lasagne import numbered

# Numbers of units of the stages down and up, by the variant.
STAGES = {
    'A': ((3, 4, 2, 2), (2, 2, 2)),
    'B': ((3, 4, 2, 2, 2), (2, 2, 2, 2)),
}


def layers(down, up):
  """Yields the layers with parameters from the image to the scores."""

  def conv_norm(path):
    yield f'{path}/conv', ('kernel',)
    yield f'{path}/norm', NORM

  def two(path):
    yield from conv_norm(f'{path}/conv1')
    yield from conv_norm(f'{path}/conv2')

  yield from conv_norm('stem')
  for i in range(3):
    yield from two(f'start{i}')
  yield from conv_norm('split')
  for name, depths in (('down', down), ('up', up)):
    for stage, depth in enumerate(depths):
      for i in range(depth):
        yield from two(f'{name}{stage}_{i}')
        yield f'{name}{stage}_{i}/residual', CONV
  for i in range(3):
    yield from two(f'end{i}')
    if i == 0:
      yield 'end0/shortcut', ('kernel',)
  yield 'classifier', CONV


RULES = {
    variant: (
        *numbered(layers(*stages)),
        inverse_std('.*norm', 1e-4),
        # Convolutions are true ones there.
        flipped('.+', 'kernel', (0, 1)),
    )
    for variant, stages in STAGES.items()
}
