"""Modules of https://github.com/kazuto1011/deeplab-pytorch.

Its weights, and those of Caffe that it converts, have seen BGR from 0 to 255,
minus the mean: `--config.preprocess.eval='normalize((122.675, 116.669,
104.008), 1.0)|bgr'`.
"""
