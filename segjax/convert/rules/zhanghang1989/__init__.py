"""Modules of https://github.com/zhanghang1989/PyTorch-Encoding."""
