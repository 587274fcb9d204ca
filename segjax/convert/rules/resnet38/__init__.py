"""Modules of itijyou/ademxapp, https://github.com/itijyou/ademxapp.

MXNet's names with PyTorch's endings: `bn2a_branch2a.running_mean`.
"""
