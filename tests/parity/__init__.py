"""Models that compute what the originals compute.

A fixture `<name>.npz` holds what an original returned for the weights and the
image of `reference.py`, and `test_parity.py` compares our model with it.
"""
