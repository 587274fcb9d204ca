"""Modules of https://github.com/CSAILVision/semantic-segmentation-pytorch.

Its weights of a system are two files. Join them first, the names of one with
'encoder.' in front and those of the other with 'decoder.'.
"""
