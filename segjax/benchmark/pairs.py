"""The same architectures in segjax and elsewhere.

`torch` names a function of segjax/benchmark/torch_nets.py. `parameters` were
counted there, with all auxiliary heads and 21 classes; a test counts ours. What
is said to differ is all that does.
"""

import dataclasses

CLASSES = 21


@dataclasses.dataclass(frozen=True)
class Pair:
  """A system of segjax with its fields, and what others have for it."""

  system: str
  fields: dict = dataclasses.field(default_factory=dict)
  torch: str = ''
  keras: str = ''
  parameters: int = 0
  differs: str = ''


def _torchvision(backbone):
  """Returns the fields of torchvision's DeepLabv3."""
  return dict(backbone=backbone, output_stride=8, rates=(12, 24, 36))


PAIRS = {
    'deeplabv3': Pair(
        'deeplabv3', _torchvision('resnet/50'), torch='deeplabv3_resnet50'
    ),
    'deeplabv3_101': Pair(
        'deeplabv3', _torchvision('resnet/101'), torch='deeplabv3_resnet101'
    ),
    'deeplabv3plus': Pair(
        'deeplabv3plus',
        dict(backbone='mobilenet/v2'),
        torch='deeplabv3plus_mobilenet',
    ),
    'fcn': Pair('fcn_dilated', torch='fcn_resnet50'),
    'hrnet': Pair('hrnet', dict(backbone='hrnet/w18'), torch='hrnet_w18'),
    'lraspp': Pair('lraspp', torch='lraspp_mobilenet'),
    'pspnet': Pair('pspnet', dict(backbone='resnet/50'), torch='pspnet'),
    'unet': Pair('unet', torch='unet'),
    'upernet': Pair('upernet', dict(backbone='resnet/50'), torch='upernet'),
}
