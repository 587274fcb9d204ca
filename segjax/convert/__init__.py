"""Weights of other libraries, turned into variables of these models.

`torch.py` is the engine and knows PyTorch's kinds of layers; `rules` says, as
data, what the modules of each source are called here.
"""
