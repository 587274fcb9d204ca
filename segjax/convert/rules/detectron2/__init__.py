"""Modules of https://github.com/facebookresearch/detectron2."""


def conv_norm(source, target):
  """Returns the rules of a `ConvNormAct`: the norm is inside the convolution.

  Args:
    source: pattern of the convolution there.
    target: path of the `ConvNormAct` here.
  """
  return (
      (source, f'{target}/conv'),
      (rf'{source}\.norm', f'{target}/norm'),
  )


def on_pyramid(head):
  """Returns the rules of a ResNet, its pyramid and semantic branches on it.

  Args:
    head: pattern of the module that holds the branches.
  """
  return sum((_level(number, head) for number in (2, 3, 4, 5)), ())


def _level(number, head):
  """Returns the rules of a stage, and of a level with its branch."""
  stage, level = f'stage{number - 1}', f'c{number}'
  block = rf'backbone\.bottom_up\.res{number}\.(\d+)'
  branch = rf'{head}\.p{number}'
  return (
      *conv_norm(rf'{block}\.(conv\d)', rf'backbone/{stage}_\1/\2'),
      *conv_norm(rf'{block}\.shortcut', rf'backbone/{stage}_\1/shortcut'),
      (rf'backbone\.fpn_lateral{number}', f'fpn/lateral_{level}/conv'),
      (rf'backbone\.fpn_output{number}', f'fpn/output_{level}/conv'),
      # Between two convolutions is an enlarging.
      *conv_norm(rf'{branch}\.0', f'{level}_conv1'),
      *conv_norm(rf'{branch}\.2', f'{level}_conv2'),
      *conv_norm(rf'{branch}\.4', f'{level}_conv3'),
  )
