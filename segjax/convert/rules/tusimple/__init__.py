"""HDC and DUC of its authors, https://github.com/TuSimple/TuSimple-DUC.

A `.params` file becomes a `.npz` file with MXNet:

  arrays = mx.nd.load('ResNet_DUC_HDC_CityScapes-0000.params')
  np.savez('duc.npz', **{name: arrays[name].asnumpy() for name in arrays})
"""

LAYOUT = 'mxnet'
