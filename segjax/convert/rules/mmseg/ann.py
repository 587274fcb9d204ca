"""ANN from mmsegmentation, `ann_r50-d8` and others on ResNets.

Its second block has one projection of queries and keys, under two names.
"""

from segjax.convert.rules import alias
from segjax.convert.rules import conv_norm
from segjax.convert.rules import under
from segjax.convert.rules.mmseg import heads
from segjax.convert.rules.mmseg import resnet


def projection(source, target, name):
  """Returns the rules of the query's or the key's projection."""
  return conv_norm(
      rf'decode_head\.{source}\.stages\.0\.{name}_project',
      f'{source}/attention/{target}/conv0',
      'conv',
      'bn',
  )


RULES = (
    *under('backbone', resnet.PLAIN),
    *projection('fusion', 'query', 'query'),
    *projection('fusion', 'key', 'key'),
    *projection('context', 'query', 'query'),
    *alias(*projection('context', 'query', 'key')),
    (
        r'decode_head\.(fusion|context)\.stages\.0\.value_project',
        r'\1/attention/value',
    ),
    (
        r'decode_head\.(fusion|context)\.stages\.0\.out_project',
        r'\1/project',
    ),
    *conv_norm(
        r'decode_head\.(fusion|context)\.bottleneck', r'\1/fuse', 'conv', 'bn'
    ),
    *conv_norm(r'decode_head\.bottleneck', 'reduce', 'conv', 'bn'),
    *heads.RULES,
)
