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
