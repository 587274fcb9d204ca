"""SFNet from its authors, `DeepR18_SF_deeply` and others.

Their fields: `aux_heads=False` without `fpn_dsn`, and on ResNet-50 and deeper
`backbone='resnet/50_sfnet', features=256`.
"""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

BACKBONE = (
    *conv_norm(r'layer0\.0', 'stem1', '0', '1'),
    *conv_norm(r'layer0\.0', 'stem2', '3', '4'),
    *conv_norm('layer0', 'stem3', r'0\.6', '1'),
    *resnet.STAGES,
)


def level(i, name):
  """Returns the rules of a level of the pyramid; lists begin with 'c2'."""
  align = rf'head\.fpn_out_align\.{i}'
  return (
      *conv_norm(rf'head\.fpn_in\.{i}', f'lateral_{name}'),
      (rf'{align}\.down_h', f'align_{name}/coarse'),
      (rf'{align}\.down_l', f'align_{name}/fine'),
      (rf'{align}\.flow_make', f'align_{name}/flow'),
      *conv_norm(rf'head\.fpn_out\.{i}\.0', f'output_{name}'),
      *conv_norm(rf'head\.dsn\.{i}', f'aux_{name}/conv'),
      (rf'head\.dsn\.{i}\.4', f'aux_{name}/classifier'),
  )


RULES = (
    *under('', BACKBONE, 'backbone'),
    *conv_norm(r'head\.ppm\.stages\.(\d)', r'ppm/level\1', '1', '2'),
    *conv_norm(r'head\.ppm\.bottleneck', 'context'),
    *level(0, 'c2'),
    *level(1, 'c3'),
    *level(2, 'c4'),
    *conv_norm(r'head\.conv_last\.0', 'fuse'),
    (r'head\.conv_last\.1', 'classifier'),
)
