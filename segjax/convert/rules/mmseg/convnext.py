"""ConvNeXt from mmsegmentation, whose backbone mmpretrain has."""


def _stage(number):
  """Returns the rules of a stage; there, the first is 0."""
  block = rf'stages\.{number - 1}\.(\d+)'
  patches = rf'downsample_layers\.{number - 1}'
  target = rf'stage{number}_\1'
  # The stem has its norm behind it.
  norm, conv = (0, 1) if number > 1 else (1, 0)
  return (
      (rf'{patches}\.{norm}', f'patches{number}_norm'),
      (rf'{patches}\.{conv}', f'patches{number}'),
      (rf'{block}\.depthwise_conv', f'{target}/depthwise'),
      (rf'{block}\.norm', f'{target}/norm'),
      (rf'{block}\.pointwise_conv1', f'{target}/expand'),
      (rf'{block}\.pointwise_conv2', f'{target}/reduce'),
      (rf'{block}\.gamma', f'{target}/scale/scale'),
      (f'norm{number - 1}', f'norm{number}'),
  )


RULES = sum(map(_stage, range(1, 5)), ())
