"""segmentation_models_pytorch 0.6.0, on ResNet-18."""

import jax.numpy as jnp

from segjax import models
from segjax.convert import rules
from tests.parity.case import Case
from tests.parity.case import inside
from tests.parity.case import returned


def case(system, outputs, backbone='resnet/18', parts=(), **fields):
  """Returns the case of a system with the rules of this source."""

  def build(spec):
    widths = {}
    if 'decoder_channels' in spec['build']:
      widths['features'] = spec['build']['decoder_channels']
    return models.create(
        system, spec['num_classes'], backbone=backbone, **fields, **widths
    )

  return Case(
      build,
      rules.find('smp', system, backbone),
      {'logits': returned('logits'), **outputs},
      parts=parts,
  )


def pooled_first(out, parts):
  """Pyramid pooling in the order of this source, with the features last."""
  pooled = parts['ppm'].shape[-1] // 2
  return jnp.roll(parts['ppm'], pooled, -1)


CASES = {
    'smp_unet_resnet18': case(
        'unet_backbone', {'decoder_0': inside('up4')}, parts=('up4',)
    ),
    'scse_unet': case(
        'unet_backbone',
        {'decoder_0': inside('up4'), 'scse_0': inside('up4/scse1')},
        parts=('up4', 'up4/scse1'),
        scse='sum',
    ),
    'smp_linknet_resnet18': case(
        'linknet',
        # There the skip is added within the block.
        {
            'decoder_0': lambda _, parts: parts['up_c4']
            + parts['backbone']['c4']
        },
        parts=('backbone', 'up_c4'),
        variant='smp',
    ),
    'smp_unetplusplus_resnet18': case(
        'unetplusplus', {'x_0_0': inside('node4_1')}, parts=('node4_1',)
    ),
    'smp_manet_resnet18': case(
        'manet',
        {'pab': inside('attention'), 'mfab_0': inside('up4')},
        parts=('attention', 'up4'),
    ),
    'smp_pan_resnet18': case(
        'pan',
        {
            'logits_s4': inside('classifier'),
            'logits_rows_40_47': lambda out, _: out['logits'][:, 40:48],
            'fpa': inside('pyramid'),
        },
        backbone='resnet/18(output_stride=16, dilate_first=True)',
        parts=('classifier', 'pyramid'),
    ),
    'smp_fpn_resnet18': case(
        'semantic_fpn',
        {'p5': inside('fpn', 'c5'), 'p4': inside('fpn', 'c4')},
        parts=('fpn',),
        smooth=False,
        group_norm=True,
        dropout=0.0,
        align_corners=True,
    ),
    'smp_pspnet_resnet18': case(
        'pspnet',
        {'psp': pooled_first},
        parts=('ppm',),
        level='c3',
        pool_features=32,
        plain_mean=True,
        fuse_kernel=1,
        classifier_kernel=3,
        align_corners=True,
        dropout=0.0,
        aux_level='',
    ),
    'smp_deeplabv3_resnet18': case(
        'deeplabv3',
        {'aspp': inside('aspp', first=32), 'head_conv': inside('classifier')},
        backbone='resnet/18(output_stride=8, dilate_first=True)',
        parts=('aspp', 'classifier'),
        rates=(12, 24, 36),
        dropout=0.0,
        align_corners=True,
        aux_level='',
    ),
    'smp_deeplabv3plus_resnet18': case(
        'deeplabv3plus',
        {'aspp': inside('aspp_refine')},
        backbone='resnet/18(output_stride=16, dilate_first=True)',
        parts=('aspp_refine',),
        rates=(12, 24, 36),
        between=False,
        image_first=False,
        aspp_refine=True,
        refinements=1,
        dropout=(0.0, 0.0, 0.0),
    ),
    'smp_upernet_resnet18': case(
        'upernet',
        {
            'psp': inside('top', first=16),
            'decoder_first16': inside('fuse', first=16),
            'head_conv': inside('classifier'),
        },
        parts=('top', 'fuse', 'classifier'),
        norm_levels=True,
        dropout=0.0,
        align_corners=True,
        aux_level='',
    ),
}
