"""Pairs of equal architectures in segjax and in other libraries.

segmentation_models_pytorch builds variants of its own of most systems, so few
of its models are here.
"""

import dataclasses

CLASSES = 21


@dataclasses.dataclass(frozen=True)
class Pair:
  """A system of segjax and its counterpart in another library.

  Attributes:
    system: name of a module of segjax/models.
    fields: fields of its `Model`.
    torch: name of a function of segjax/benchmark/torch_nets.py.
    keras: name of a network of segjax/benchmark/keras_worker.py.
    parameters: number of parameters of the counterpart, with 21 classes and
      auxiliary heads. If nothing differs, that of segjax is equal.
    differs: how the architectures differ.
  """

  system: str
  fields: dict = dataclasses.field(default_factory=dict)
  torch: str = ''
  keras: str = ''
  parameters: int = 0
  differs: str = ''


PAIRS = {
    'deeplabv3': Pair(
        'deeplabv3',
        dict(backbone='resnet/50(output_stride=8)', rates=(12, 24, 36)),
        torch='deeplabv3_resnet50',
        parameters=42_004_074,
    ),
    'deeplabv3_101': Pair(
        'deeplabv3',
        dict(backbone='resnet/101(output_stride=8)', rates=(12, 24, 36)),
        torch='deeplabv3_resnet101',
        parameters=60_996_202,
    ),
    'deeplabv3plus': Pair(
        'deeplabv3plus',
        dict(backbone='mobilenet/v2(output_stride=16)'),
        torch='deeplabv3plus_mobilenet',
        parameters=2_719_813,
    ),
    'deeplabv3plus_smp': Pair(
        'deeplabv3plus',
        dict(backbone='mobilenet/v2(output_stride=16)', rates=(12, 24, 36)),
        torch='smp_deeplabv3plus',
        parameters=4_383_653,
        differs=(
            'theirs has the 1280 channels of the classifier of ImageNet before'
            ' ASPP, and one of its two last 3x3 convolutions at stride 16'
        ),
    ),
    'deeplabv3plus_keras': Pair(
        'deeplabv3plus',
        dict(backbone='resnet/50', separable=False),
        keras='deeplabv3plus_resnet50',
        parameters=39_139_232,
        differs=(
            'theirs has a 1x1 convolution for the two 3x3 ones of the decoder,'
            ' and classifies at the size of the image; sides are multiples of'
            ' 32'
        ),
    ),
    'erfnet': Pair('erfnet', torch='erfnet', parameters=2_084_353),
    'fast_scnn': Pair(
        'fast_scnn',
        dict(aux_features=0),
        torch='fast_scnn',
        parameters=1_400_197,
    ),
    'fcn': Pair('fcn_dilated', torch='fcn_resnet50', parameters=35_322_218),
    'hrnet': Pair(
        'hrnet',
        dict(backbone='hrnet/w18'),
        torch='hrnet_w18',
        parameters=9_641_661,
    ),
    'lraspp': Pair('lraspp', torch='lraspp_mobilenet', parameters=3_221_538),
    'pspnet': Pair(
        'pspnet',
        dict(backbone='resnet/50(output_stride=8)'),
        torch='pspnet',
        parameters=48_957_802,
    ),
    'segformer': Pair(
        'segformer',
        torch='segformer',
        parameters=3_719_541,
        differs='theirs has no biases in the projections of the decoder',
    ),
    'unet': Pair('unet', torch='unet', parameters=29_063_146),
    'unet_backbone': Pair(
        'unet_backbone',
        dict(backbone='resnet/18'),
        torch='smp_unet',
        parameters=14_331_109,
    ),
    'upernet': Pair(
        'upernet',
        dict(backbone='resnet/50'),
        torch='upernet',
        parameters=66_397_546,
    ),
}

# Light networks, at the sizes of their papers, for --what=latency.
LIGHT = {
    name: PAIRS.get(name) or Pair(name)
    for name in (
        *('bisenetv1', 'bisenetv2', 'cgnet', 'contextnet', 'ddrnet', 'enet'),
        *('atanbori', 'erfnet', 'espnet', 'fast_scnn', 'icnet', 'lraspp'),
        *('lw_refinenet', 'mobile_unet', 'pidnet', 'segformer', 'segnext'),
        'stdc',
    )
}
MODELS = PAIRS | LIGHT
