"""TensorFlow's DeepLab, https://github.com/tensorflow/models.

A checkpoint becomes a `.npz` file with TensorFlow:

  reader = tf.train.load_checkpoint('model.ckpt')
  names = reader.get_variable_to_shape_map()
  np.savez('model.npz', **{name: reader.get_tensor(name) for name in names})
"""

LAYOUT = 'keras'

# What training has left in a checkpoint beside the weights.
TRAINING = ((r'global_step|.*/Momentum', None),)


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
