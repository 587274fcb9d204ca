"""SETR of mmsegmentation 1.2.2, with each decoder, on a reduced ViT."""

from segjax import models
from segjax.convert.rules.mmseg import setr as rules
from tests.parity.case import Case
from tests.parity.case import inside


def network(spec):
  """The model of a fixture: its backbone has four blocks, and all are read."""
  build, decoder = spec['build'], spec['system'].removeprefix('setr_')
  fields = dict(taps=(3,), aux_taps=(0, 1, 2), features=build['channels'])
  if decoder == 'mla':
    fields = dict(
        taps=(0, 1, 2, 3),
        aux_taps=(3, 2, 1, 0),
        aux_steps=0,
        features=build['neck_out'],
    )
  backbone = dict(
      width=build['embed_dims'],
      depth=build['layers'],
      heads=build['heads'],
      image_size=(build['img_size'],) * 2,
      patch_bias=False,
  )
  options = ', '.join(f'{key}={value}' for key, value in backbone.items())
  return models.create(
      'setr',
      spec['num_classes'],
      backbone=f'vit/tiny({options})',
      decoder=decoder,
      **fields,
  )


def case(heads):
  return Case(
      network,
      rules.RULES,
      {
          'backbone_c4': inside('backbone', 'block3'),
          'logits': inside('decoder'),
          **{f'aux_{i}': inside(f'aux{i}') for i in range(heads)},
      },
      parts=('backbone', 'decoder', *(f'aux{i}' for i in range(heads))),
  )


CASES = {
    'setr_naive': case(3),
    'setr_pup': case(3),
    'setr_mla': case(4),
}
