"""MA-Net from segmentation_models_pytorch: `MAnet` on ResNets."""

from segjax.convert.rules import conv_norm
from segjax.convert.rules.smp import parts


def _stage(i):
  """Returns the rules of a stage with a skip; there, the coarsest is 0."""
  source, target = rf'decoder\.blocks\.{i}', f'up{4 - i}'
  return (
      *conv_norm(rf'{source}\.hl_conv\.0', f'{target}/refine'),
      *conv_norm(rf'{source}\.hl_conv\.1', f'{target}/reduce'),
      (rf'{source}\.SE_hl\.1', f'{target}/weights/squeeze'),
      (rf'{source}\.SE_hl\.3', f'{target}/weights/excite'),
      (rf'{source}\.SE_ll\.1', f'{target}/skip_weights/squeeze'),
      (rf'{source}\.SE_ll\.3', f'{target}/skip_weights/excite'),
      *parts.block(source, f'{target}/join'),
  )


RULES = (
    *parts.ENDS,
    (r'decoder\.center\.top_conv', 'attention/key'),
    (r'decoder\.center\.center_conv', 'attention/query'),
    (r'decoder\.center\.bottom_conv', 'attention/value'),
    (r'decoder\.center\.out_conv', 'attention/output'),
    *(rule for i in range(4) for rule in _stage(i)),
    *parts.last_block(r'decoder\.blocks\.4', 'up0'),
)
