"""Modules of DrSleep's RefineNets.

https://github.com/DrSleep/refinenet-pytorch and
https://github.com/DrSleep/light-weight-refinenet.
"""
