"""DINOv2 of transformers 5.24 with a batch norm and a linear head."""

from segjax import backbones
from segjax.convert.rules.transformers import dinov2_linear as rules
from segjax.models import dinov2_linear
from segjax.ops.position_table import resize_table
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned

# Blocks of the fixture's features.
TAPS = 1, 2, 3, 5


class Network(dinov2_linear.Model):
  """The model; returns further blocks and the table of positions as well."""

  def __call__(self, image, *, train=False):
    out = super().__call__(image, train=train)
    params = self.variables['params']['backbone']
    backbone = backbones.build(
        self.backbone, taps=TAPS, norm_taps=True, parent=None
    )
    table = params['embed']['positions']
    old, new = (
        [side // backbone.patch for side in sides]
        for sides in (backbone.image_size, image.shape[1:3])
    )
    return {
        **out,
        **backbone.apply({'params': params}, image, train),
        'positions': resize_table(table, old, new),
    }


def network(spec):
  build = spec['build']
  options = dict(
      width=build['hidden_size'],
      depth=build['num_hidden_layers'],
      heads=build['num_attention_heads'],
      expansion=build['mlp_ratio'],
      image_size=(build['image_size'],) * 2,
      patch=build['patch_size'],
  )
  options = ', '.join(f'{key}={value}' for key, value in options.items())
  return Network(spec['num_classes'], f'vit/dinov2_small({options})')


CASES = {
    'dinov2_small_linear': Case(
        network,
        rules.RULES,
        {
            # Before they are enlarged.
            'logits': inside('classifier'),
            'position_every3': returned('positions', every=3),
            **{
                f'feature_{tap + 1}_every3': returned(f'block{tap}', every=3)
                for tap in TAPS
            },
            'last_attention_every3': inside(
                'backbone/block5/attention', every=3
            ),
            'last_mlp_every3': inside('backbone/block5/reduce', every=3),
        },
        parts=(
            'classifier',
            'backbone/block5/attention',
            'backbone/block5/reduce',
        ),
    ),
}
