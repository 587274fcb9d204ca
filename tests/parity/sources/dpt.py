"""DPT of transformers 5.24 and of segmentation-models-pytorch 0.6."""

from segjax import backbones
from segjax.convert.rules.smp import dpt as smp
from segjax.convert.rules.transformers import dpt as transformers
from segjax.models import dpt
from segjax.ops.position_table import resize_table
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


class Network(dpt.Model):
  """The model, which returns its table of positions as it is added, too."""

  def __call__(self, image, *, train=False):
    out = super().__call__(image, train=train)
    backbone = backbones.build(self.backbone, parent=None)
    table = self.variables['params']['backbone']['embed']['positions']
    old, new = (
        [side // backbone.patch for side in sides]
        for sides in (backbone.image_size, image.shape[1:3])
    )
    positions = resize_table(table, old, new, backbone.resize)
    return out | {'positions': positions}


def of_transformers(spec):
  build = spec['build']
  expansion = build['intermediate_size'] // build['hidden_size']
  return Network(
      spec['num_classes'],
      f'vit/base(width={build["hidden_size"]},'
      f' depth={build["num_hidden_layers"]},'
      f' heads={build["num_attention_heads"]}, expansion={expansion},'
      f' image_size={(build["image_size"],) * 2}, epsilon=1e-12,'
      " resize='bilinear')",
      taps=(0, 1, 2, 3),
      readout=build['readout_type'],
      widths=tuple(build['neck_hidden_sizes']),
      features=build['fusion_hidden_size'],
      dropout=0.0,
  )


def of_smp(spec):
  build = spec['build']
  return Network(
      spec['num_classes'],
      "vit/tiny(resize='antialias')",
      widths=tuple(build['decoder_intermediate_channels']),
      features=build['decoder_fusion_channels'],
      coarsest_unit=True,
      dropout=0.0,
      aux_level='',
  )


CASES = {
    'dpt_small': Case(
        of_transformers,
        transformers.RULES,
        {
            'logits_every2': lambda out, parts: out['logits'][:, ::2, ::2],
            'position_every2': returned('positions', every=2),
            **{f'block_{i}': inside(f'backbone/block{i}') for i in range(4)},
            **{
                f'neck_{i}_first8': inside(f'fusion{i}', first=8)
                for i in range(4)
            },
        },
        parts=tuple(
            path
            for i in range(4)
            for path in (f'backbone/block{i}', f'fusion{i}')
        ),
    ),
    'smp_dpt': Case(
        of_smp,
        smp.RULES,
        {
            'logits': returned('logits'),
            'reassemble_0_first8': inside('reassemble0', first=8),
            'decoder_first8': inside('fusion3', first=8),
            'pos_embed_resized': lambda out, parts: out['positions'][
                :, 1:, :96
            ],
            **{
                f'block_{i}_first32': inside(f'backbone/block{i}', first=32)
                for i in (2, 5, 8, 11)
            },
        },
        parts=(
            'reassemble0',
            'fusion3',
            *(f'backbone/block{i}' for i in (2, 5, 8, 11)),
        ),
    ),
}
