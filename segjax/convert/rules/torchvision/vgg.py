"""VGG from torchvision: `vgg11` to `vgg19` and `vgg11_bn` to `vgg19_bn`.

Modules are numbered there, so each variant has rules of its own.
"""


def _rules(depths, norm):
  """Returns the rules of a VGG with `depths` convolutions in its stages."""
  rules, number = [], 0
  for stage, depth in enumerate(depths, 1):
    for i in range(1, depth + 1):
      rules.append((rf'features\.{number}', f'conv{stage}_{i}/conv'))
      if norm:
        rules.append((rf'features\.{number + 1}', f'conv{stage}_{i}/norm'))
      number += 3 if norm else 2  # The last is a ReLU.
    number += 1  # A pool.
  return (
      *rules,
      (r'classifier\.0', 'fc6/conv'),
      (r'classifier\.3', 'fc7/conv'),
      (r'classifier\.6', 'classifier'),
  )


RULES = {
    f'{name}{suffix}': _rules(depths, norm)
    for name, depths in {
        '11': (1, 1, 2, 2, 2),
        '13': (2, 2, 2, 2, 2),
        '16': (2, 2, 3, 3, 3),
        '19': (2, 2, 4, 4, 4),
    }.items()
    for suffix, norm in {'': False, '_bn': True}.items()
}
