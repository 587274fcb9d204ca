"""Modules of torchvision 0.28, https://github.com/pytorch/vision."""
