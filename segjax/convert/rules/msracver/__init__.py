"""Deformable ConvNets of its authors, msracver/Deformable-ConvNets on GitHub.

A `.params` file becomes a `.npz` file with MXNet:

  arrays = mx.nd.load('deeplab_dcn_cityscapes-0000.params')
  np.savez('dcn.npz', **{name: arrays[name].asnumpy() for name in arrays})
"""

LAYOUT = 'mxnet'
