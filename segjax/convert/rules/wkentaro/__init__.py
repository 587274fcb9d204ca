"""Modules of wkentaro/pytorch-fcn, https://github.com/wkentaro/pytorch-fcn."""
