"""UPerNet of transformers 5.24, on Swin and on ConvNeXt."""

from segjax import models
from segjax.convert.rules.transformers import upernet
from tests.parity.case import Case
from tests.parity.case import inside


def build(spec):
  """The model; the options of its backbone are the fixture's."""
  options = dict(spec['build'])
  options.pop('auxiliary_channels'), options.pop('hidden_size')
  if 'embed_dim' in options:
    name, renamed = 'swin', {
        'embed_dim': 'width',
        'num_heads': 'heads',
        'window_size': 'window',
    }
  else:
    name, renamed = 'convnext', {'hidden_sizes': 'widths'}
  fields = {
      renamed.get(key, key): tuple(value) if isinstance(value, list) else value
      for key, value in options.items()
  }
  inner = ', '.join(f'{key}={value!r}' for key, value in fields.items())
  return models.create(
      'upernet',
      spec['num_classes'],
      backbone=f'{name}/tiny({inner}, drop_path=0.0)',
      features=spec['build']['hidden_size'],
      aux_features=spec['build']['auxiliary_channels'],
      dropout=0.0,
  )


OUTPUTS = {
    # Before they are enlarged.
    'logits': inside('classifier'),
    'aux_0': inside('aux'),
    'logits_full_every3': lambda out, parts: out['logits'][:, ::3, ::3],
    **{
        f'feature_{i}_first16': inside('backbone', f'c{i + 2}', first=16)
        for i in range(4)
    },
}
PARTS = ('backbone', 'classifier', 'aux')
# Of the last block, before its factors.
LAST = 'backbone/stage4_1/reduce'

CASES = {
    'upernet_swin_tiny': Case(build, upernet.SWIN, OUTPUTS, parts=PARTS),
    'upernet_convnext_tiny': Case(
        build,
        upernet.CONVNEXT,
        {**OUTPUTS, 'last_block_every2': inside(LAST, every=2)},
        parts=(*PARTS, LAST),
    ),
}
