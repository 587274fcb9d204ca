"""OCNet from its authors, `resnet101_base_oc`, `_pyramid_oc` and `_asp_oc`.

Their fields: `head='base'`, 'pyramid', or 'asp' with `dropout=0.1`. Queries and
keys have one projection, under two names.
"""

from segjax.convert.rules import alias
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.torchvision import resnet

BACKBONE = (
    *((rf'conv{i}', f'stem{i}/conv') for i in (1, 2, 3)),
    *((rf'bn{i}', f'stem{i}/norm') for i in (1, 2, 3)),
    *resnet.STAGES,
)


def context(source, target):
  """Returns the rules of an `ObjectContext`."""
  query = f'{target}/attention/query/conv0'
  return (
      *conv_norm(rf'{source}\.f_query', query),
      *alias(*conv_norm(rf'{source}\.f_key', query)),
      (rf'{source}\.f_value', f'{target}/attention/value'),
      (rf'{source}\.W', f'{target}/project'),
  )


BASE = context(r'context\.2\.stages\.0', 'head/context')
PYRAMID = (
    *conv_norm('layer5', 'head/reduce'),
    *context(r'context\.stages\.(\d)', r'head/context\1'),
    *conv_norm(r'context\.up_dr', 'head/expand'),
)
ASP = (
    *conv_norm(r'context\.2\.context', 'head/context_conv'),
    *context(r'context\.2\.context\.2\.stages\.0', 'head/context'),
    *conv_norm(r'context\.2\.context\.2\.conv_bn_dropout', 'head/context_fuse'),
    *conv_norm(r'context\.2\.conv2', 'head/point'),
    *conv_norm(r'context\.2\.conv3', 'head/atrous1'),
    *conv_norm(r'context\.2\.conv4', 'head/atrous2'),
    *conv_norm(r'context\.2\.conv5', 'head/atrous3'),
)

RULES = (
    *under('', BACKBONE, 'backbone'),
    *BASE,
    *PYRAMID,
    *ASP,
    *conv_norm('context', 'head/reduce'),
    *conv_norm(r'context(?:\.2)?\.conv_bn_dropout', 'head/fuse'),
    ('cls', 'classifier'),
    *conv_norm('dsn', 'aux/conv'),
    (r'dsn\.3', 'aux/classifier'),
)
