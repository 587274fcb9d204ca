"""Caffe, with the names of layers of the authors' prototxt files.

Tensors have the endings and the order of axes of PyTorch: `conv1.weight` is
[out, in, h, w].
"""
