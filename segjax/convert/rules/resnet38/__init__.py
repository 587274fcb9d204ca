"""Networks of itijyou/ademxapp, https://github.com/itijyou/ademxapp.

A `.params` file becomes a `.npz` file with MXNet:

  arrays = mx.nd.load('a1.params')
  np.savez('a1.npz', **{name: arrays[name].asnumpy() for name in arrays})
"""

LAYOUT = 'mxnet'
