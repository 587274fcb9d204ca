"""WiderResNet-38: `wider_resnet38_a2`, which GSCNN uses too."""


def unit(number):
  """Returns the rules of the `number`-th unit of each level, from 1."""
  source, target = rf'mod(\d)\.block{number}', rf'level\1_{number - 1}'
  return (
      (rf'{source}\.bn1\.0', f'{target}/norm1'),
      (rf'{source}\.convs\.bn(\d)\.0', rf'{target}/norm\2'),
      (rf'{source}\.convs\.conv(\d)', rf'{target}/conv\2'),
      (rf'{source}\.proj_conv', f'{target}/shortcut'),
  )


RULES = (
    (r'mod1\.conv1', 'stem'),
    *(rule for number in range(1, 7) for rule in unit(number)),
    (r'bn_out\.0', 'norm'),
    (r'classifier\.fc', 'classifier'),
)
