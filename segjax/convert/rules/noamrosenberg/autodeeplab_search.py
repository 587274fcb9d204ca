"""The search of Auto-DeepLab from NoamRosenberg's port.

Its field is `slip=True`. Each edge of a block has operations of its own there,
and here those of all edges of a block are one.
"""

from segjax.convert.joints import merged
from segjax.convert.rules import conv_norm
from segjax.convert.rules.noamrosenberg.autodeeplab import layers

CELL = r'cells\.(\d+)'
BLOCKS = 5
# Cells of a level that is not yet there in the layer before last: they have no
# operations on the first edge of a block.
YOUNG = '0|1|3|4|7|8|12'
SEPARABLE = {'sep3': 4, 'sep5': 5, 'dil3': 6, 'dil5': 7}
POOLS = {'max3': 1, 'avg3': 2}


def projection(source, target):
  """Returns the rules of ReLU, 1x1 convolution and norm."""
  return layers(rf'{CELL}\.{source}', rf'cell\1/{target}', None, 'conv', 'norm')


def edges():
  """Yields the rules of all operations, for each edge."""
  edge = 0
  parts = [
      *(None, 'depthwise1', 'pointwise1', 'norm1/norm'),
      *(None, 'depthwise2', 'pointwise2', 'norm2/norm'),
  ]
  for block in range(BLOCKS):
    for state in range(2 + block):
      source, target = rf'{CELL}\._ops\.{edge}\._ops', rf'cell\1/block{block}'
      for name, index in SEPARABLE.items():
        for i, part in enumerate(parts):
          if part:
            yield (
                rf'{source}\.{index}\.op\.{i}',
                f'{target}/{name}/edge{state}/{part}',
            )
      for name, index in POOLS.items():
        yield rf'{source}\.{index}\.1', f'{target}/{name}/edge{state}/norm'
      edge += 1


def joints():
  """Yields the joints that lay the edges of a block side by side."""
  kernels = ('depthwise1', 'pointwise1', 'depthwise2', 'pointwise2')
  for block in range(BLOCKS):
    for cells, first in ((rf'(?!(?:{YOUNG})/)\d+', 0), (f'(?:{YOUNG})', 1)):
      module = rf'cell{cells}/block{block}'
      names = [f'edge{i}' for i in range(first, 2 + block)]

      def join(kinds, layer, variables, module=module, names=names):
        return merged(
            f'{module}/(?:{"|".join(kinds)})',
            tuple(f'{name}/{layer}' for name in names),
            layer,
            variables,
        )

      for kernel in kernels:
        yield from join(SEPARABLE, kernel, ('kernel',))
      for norm in ('norm1/norm', 'norm2/norm'):
        yield from join(SEPARABLE, norm, ('mean', 'var'))
      yield from join(POOLS, 'norm', ('mean', 'var'))


def head(source, target):
  """Returns the rules of the small ASPP of a level."""
  return (
      *conv_norm(rf'{source}\.conv11', f'{target}/point'),
      *conv_norm(rf'{source}\.conv33', f'{target}/atrous'),
      *conv_norm(rf'{source}\.conv_p', f'{target}/image'),
      (rf'{source}\.concate_conv', f'{target}/project/conv'),
      (rf'{source}\.concate_bn', f'{target}/project/norm'),
      (rf'{source}\.final_conv', f'{target}/classifier'),
  )


RULES = (
    ('(alphas|betas)', r'\1'),
    *conv_norm(r'stem(\d)', r'stem\1'),
    *projection('preprocess_down', 'down'),
    *projection('preprocess_same', 'same'),
    *projection('preprocess_up', 'up'),
    *projection('pre_preprocess', 'before'),
    *edges(),
    *joints(),
    *head(r'aspp_4\.0', 'head0'),
    *head(r'aspp_8\.0', 'head1'),
    *head(r'aspp_16\.0', 'head2'),
    *head(r'aspp_32\.0', 'head3'),
)
