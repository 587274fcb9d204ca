"""Modules of https://github.com/JaveyWang/Pyramid-Attention-Networks-pytorch.

A checkpoint there holds four dicts of tensors. Save them as one, in which names
begin with those of the dicts: 'convnet.', 'pan.', 'classifier.' and
'mask_classifier.'.
"""
