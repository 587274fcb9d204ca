"""TensorFlow's DeepLab, https://github.com/tensorflow/models, in PyTorch's way.

Names are TensorFlow's scopes with PyTorch's endings: `SCOPE.weight` holds
`SCOPE/weights` as [out, in, h, w], or `SCOPE/depthwise_weights` as [C, 1, h, w]
where `SCOPE` ends in '_depthwise'; `SCOPE/BatchNorm.weight`, `.bias`,
`.running_mean` and `.running_var` are gamma, beta and the moving statistics.
"""


def conv_norm(source, target):
  """Returns the rules of a `ConvNormAct`."""
  return (
      (source, f'{target}/conv'),
      (f'{source}/BatchNorm', f'{target}/norm'),
  )


def separable(source, target):
  """Returns the rules of a `SeparableConvNormAct`."""
  return (
      *conv_norm(f'{source}_depthwise', f'{target}/depthwise'),
      *conv_norm(f'{source}_pointwise', f'{target}/pointwise'),
  )
