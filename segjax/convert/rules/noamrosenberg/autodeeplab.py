"""Auto-DeepLab from NoamRosenberg's port, with activated batch norms.

Its fields are `port=True, activated=True, affine=False`, the `PORT_CELL` and
`PORT_LEVELS` of the model, `features=32`, `momentum=0.9` and
`dropout=(0.5, 0.1)`.
"""

CELL = r'encoder\.cells\.(\d+)'
SIDES = ('left', 'right')


def layers(source, target, *parts):
  """Returns the rules of the layers of a sequence, None for other modules."""
  return tuple(
      (rf'{source}\.op\.{i}', f'{target}/{part}')
      for i, part in enumerate(parts)
      if part
  )


def encoder(projection, norm, atrous):
  """Returns the rules of the stem and of all cells.

  Args:
    projection: layers of the 1x1 convolutions before the operations.
    norm: what a norm of the stem has between its name and its tensors.
    atrous: layers of a dilated convolution.
  """
  separable = (
      *(None, 'depthwise1', 'pointwise1', 'norm1'),
      *(None, 'depthwise2', 'pointwise2', 'norm2'),
  )
  # Operations 0, 3 and 8 are dilated, see `PORT_CELL`.
  operations = (
      layers(
          rf'{CELL}\._ops\.{i}',
          rf'cell\1/block{i // 2}_{SIDES[i % 2]}/conv',
          *(atrous if i in (0, 3, 8) else separable),
      )
      for i in range(10)
  )
  return (
      (r'encoder\.stem(\d)\.0', r'stem\1/conv'),
      (rf'encoder\.stem(\d)\.1{norm}', r'stem\1/norm'),
      *layers(rf'{CELL}\.pre_preprocess', r'cell\1/before', *projection),
      *layers(rf'{CELL}\.preprocess', r'cell\1/last', *projection),
      *(rule for rules in operations for rule in rules),
  )


def head(norm):
  """Returns the rules of ASPP and decoder; see `encoder`."""
  return (
      (r'aspp\.aspp1', 'aspp/point/conv'),
      (rf'aspp\.aspp1_bn{norm}', 'aspp/point/norm'),
      (r'aspp\.aspp5', 'aspp/image/conv'),
      (rf'aspp\.aspp5_bn{norm}', 'aspp/image/norm'),
      *(
          rule
          for i in (2, 3, 4)
          for rule in (
              (rf'aspp\.aspp{i}', f'aspp/atrous{i - 1}/conv'),
              (rf'aspp\.aspp{i}_bn{norm}', f'aspp/atrous{i - 1}/norm'),
          )
      ),
      (r'aspp\.conv2', 'aspp/project/conv'),
      (rf'aspp\.bn2{norm}', 'aspp/project/norm'),
      (r'decoder\.conv1', 'low/conv'),
      (r'decoder\.bn1\.op\.0', 'low/norm'),
      (r'decoder\.last_conv\.0', 'decode0/conv'),
      (r'decoder\.last_conv\.1\.op\.0', 'decode0/norm'),
      (r'decoder\.last_conv\.3', 'decode1/conv'),
      (r'decoder\.last_conv\.4\.op\.0', 'decode1/norm'),
      (r'decoder\.last_conv\.6', 'classifier'),
  )


RULES = (
    *encoder(('conv', 'norm'), '', ('depthwise', 'pointwise', 'norm')),
    *head(''),
)
