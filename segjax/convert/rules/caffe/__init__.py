"""Caffe, with the layers' names of the authors' prototxt files.

In PyTorch's way: `conv1.weight` is [out, in, h, w].
"""
