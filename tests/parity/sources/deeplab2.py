"""DeepLab2: backbones, and Panoptic-DeepLab on features and on an axial one."""

import functools

from flax import linen as nn

from segjax import backbones
from segjax import models
from segjax.convert.rules import deeplab2
from segjax.convert.rules.deeplab2 import axial_deeplab
from segjax.convert.rules.deeplab2 import max_deeplab
from segjax.convert.rules.deeplab2 import resnet
from segjax.layers.norm import BatchNorm
from segjax.layers.panoptic_decoder import panoptic_outputs
from tests.parity import forward
from tests.parity import reference
from tests.parity.case import Case
from tests.parity.case import ProcedureCase
from tests.parity.case import inside
from tests.parity.case import returned

NAMES = {'semantic': 'classifier', 'center': 'center', 'offset': 'offset'}
SIZE = 65, 97


class Heads(nn.Module):
  """Decoders and heads on features that are given."""

  num_classes: int
  rates: tuple[int, ...]

  @nn.compact
  def __call__(self, feats, *, train=False):
    return panoptic_outputs(
        feats,
        self.num_classes,
        SIZE,
        train,
        features=32,
        instance_features=16,
        head_features=8,
        low_features=(16, 12),
        instance_low_features=(12, 8),
        norm=functools.partial(BatchNorm, epsilon=1e-3, momentum=0.99),
        aspp_features=32,
        rates=self.rates,
        levels=('c3', 'c2'),
        dropout=0.0,
    )


def features(spec):
  """The features, a function of their names as the weights are."""
  salt, widths = spec['input']['salt'], spec['build']['features']
  sides = {'res2': (17, 25), 'res3': (9, 13), 'res5': (3, 4)}
  return {
      name.replace('res', 'c'): reference.generator(f'{salt}:{name}')
      .standard_normal((2, *sides[name], width))
      .astype('float32')
      for name, width in widths.items()
  }


def build_heads(spec):
  rates = tuple(spec['build']['atrous_rates'])
  model, feats = Heads(spec['num_classes'], rates), features(spec)
  rules = deeplab2.panoptic_outputs()
  return model, feats, forward.fill(model, rules, spec, feats)


def heads(built, variables, image, given):
  """Calls in both modes, and two statistics after the latter."""
  del variables, image, given
  model, feats, variables = built
  parts = tuple(NAMES.values())
  evaluated = forward.call(model, variables, feats, train=False, parts=parts)
  trained = forward.call(model, variables, feats, train=True, parts=parts)
  aspp = trained.variables['batch_stats']['semantic']['aspp']
  return {
      'offset_full_every3': evaluated.out['offset'][:, ::3, ::3],
      **{name: evaluated.parts[part] for name, part in NAMES.items()},
      **{f'train_{name}': trained.parts[part] for name, part in NAMES.items()},
      'after_train_proj_running_mean': aspp['project']['norm']['mean'],
      'after_train_aspp_pool_running_var': aspp['image']['norm']['var'],
  }


CASES = {
    'deeplab2_resnet50_beta': Case(
        lambda spec: backbones.build(
            'resnet/50_beta',
            depths=tuple(spec['build']['num_blocks']),
            width=16,
            deep_stem=(16, 16, 32),
        ),
        resnet.RULES,
        {
            f'res{level}_every{every}': returned(f'c{level}', every=every)
            for level, every in ((1, 8), (2, 8), (3, 8), (4, 16), (5, 16))
        },
    ),
    'deeplab2_axial_swidernet': Case(
        lambda spec: models.create(
            'axial_deeplab',
            spec['num_classes'],
            backbone='axial_resnet/swidernet(depths=(3, {}), stem=(16,),'
            ' filters=8)'.format(str(spec['build']['num_blocks'])[1:-1]),
            aspp_features=32,
            features=32,
            instance_features=16,
            head_features=8,
            low_features=(16, 12),
            instance_low_features=(12, 8),
            dropout=0.0,
        ),
        axial_deeplab.RULES,
        {
            **{name: inside(part) for name, part in NAMES.items()},
            **{
                f'res{level}_every{every}': inside(
                    'backbone', f'c{level}', every=every
                )
                for level, every in ((2, 8), (4, 16), (5, 16))
            },
        },
        parts=('backbone', *NAMES.values()),
    ),
    'deeplab2_max_deeplab_s': Case(
        lambda spec: models.create(
            'max_deeplab',
            spec['num_classes'],
            backbone='axial_resnet/max_s(depths={}, stem=(16, 16, 32),'
            ' filters=16)'.format(tuple(spec['build']['num_blocks'])),
            memory=spec['build']['max_num_mask_slots'],
            slots=spec['build']['num_mask_slots'],
            memory_features=32,
            features=32,
            expansion=48,
            depth=24,
            low_features=(16, 8),
            dropout=0.0,
        ),
        max_deeplab.RULES,
        {
            'class_logits': inside('predictor', 0),
            'mask_logits': inside('predictor', 1),
            'pixel_feature_every3': inside('predictor', 2, every=3),
            'semantic': inside('classifier'),
            'class_feature': inside('class_slots'),
            'panoptic_every4': lambda out, parts: nn.relu(
                parts['refine_c2'][..., ::4]
            ),
            'backbone_every16': inside('backbone', 'c5', every=16),
        },
        parts=(
            *('predictor', 'classifier', 'class_slots', 'refine_c2'),
            'backbone',
        ),
    ),
    'deeplab2_panoptic_deeplab_head': ProcedureCase(build_heads, heads),
}
