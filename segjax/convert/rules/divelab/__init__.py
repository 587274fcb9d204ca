"""Smoothed dilated convolutions of their authors, divelab/dilated on GitHub.

A checkpoint of TensorFlow becomes a `.npz` file with TensorFlow:

  reader = tf.train.load_checkpoint('model.ckpt')
  names = reader.get_variable_to_shape_map()
  np.savez('model.npz', **{name: reader.get_tensor(name) for name in names})
"""

LAYOUT = 'keras'
