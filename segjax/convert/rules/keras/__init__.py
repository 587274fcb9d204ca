"""Keras, with the names that its variables have in Keras 3.

A model becomes a `.npz` file with Keras:

  model = keras.applications.MobileNetV2(input_shape=(128, 128, 3))
  np.savez('model.npz', **{v.path: np.asarray(v) for v in model.weights})
"""

LAYOUT = 'keras'
