"""Gated-SCNN from nv-tlabs/GSCNN, on WiderResNet-38."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.nvidia import resnet38


def gate(i, side):
  """Returns the rules of the i-th block and gate of the shape stream."""
  source, target = rf'gate{i}\._gate_conv', f'shape/gate{i}'
  return (
      *conv_norm(rf'res{i}', rf'shape/block{i}/conv\1', r'conv(\d)', r'bn(\d)'),
      (rf'd{i}', f'shape/reduce{i}'),
      (rf'dsn{side}', f'shape/side{i}'),
      (rf'{source}\.0', f'{target}/norm1'),
      (rf'{source}\.1', f'{target}/conv1'),
      (rf'{source}\.3', f'{target}/conv2'),
      (rf'{source}\.4', f'{target}/norm2'),
      (f'gate{i}', f'{target}/project'),
  )


RULES = (
    (r'dsn1', None),  # Nothing reads it.
    *gate(1, 3),
    *gate(2, 4),
    *gate(3, 7),
    ('fuse', 'shape/edge'),
    ('cw', 'mix'),
    *conv_norm(r'aspp\.features\.0', 'aspp/point'),
    *conv_norm(r'aspp\.features\.([123])', r'aspp/atrous\1'),
    *conv_norm(r'aspp\.img_conv', 'aspp/image'),
    *conv_norm(r'aspp\.edge_conv', 'aspp_edge'),
    ('bot_aspp', 'project'),
    ('bot_fine', 'low'),
    *conv_norm('final_seg', 'fuse1', '0', '1'),
    *conv_norm('final_seg', 'fuse2', '3', '4'),
    (r'final_seg\.6', 'classifier'),
    *under('', resnet38.RULES, 'backbone'),
)
