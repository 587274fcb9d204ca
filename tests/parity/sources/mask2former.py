"""Mask2Former of transformers 5.24 on a small Swin."""

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def network(spec):
  build = spec['build']
  return models.create(
      'mask2former',
      spec['num_classes'],
      backbone=f'swin/mini(width={build["embed_dim"]},'
      f' depths={tuple(build["depths"])}, heads={tuple(build["num_heads"])},'
      f' window={build["window_size"]})',
      features=build['feature_size'],
      heads=build['num_attention_heads'],
      encoder_layers=build['encoder_layers'],
      encoder_inner=build['encoder_feedforward_dim'],
      queries=build['num_queries'],
      decoder_layers=build['decoder_layers'],
      decoder_inner=build['dim_feedforward'],
  )


CASES = {
    'mask2former_tiny': Case(
        network,
        rules.find('transformers', 'mask2former', 'swin/mini'),
        {
            'class_logits': returned('class_logits'),
            'mask_logits': returned('mask_logits'),
            **{
                f'{kind}_logits_layer{i}': inside('decoder', i, j)
                for i in (0, 1)
                for j, kind in enumerate(('class', 'mask'))
            },
            'mask_features_first8': inside('pixel_decoder', 1, first=8),
            **{
                f'backbone_{i}_first16': inside(
                    'backbone', f'c{i + 2}', first=16
                )
                for i in range(4)
            },
            **{
                f'pixel_decoder_{i}_first16': inside(
                    'pixel_decoder', 0, i, first=16
                )
                for i in range(3)
            },
        },
        parts=('backbone', 'pixel_decoder', 'decoder'),
    ),
}
