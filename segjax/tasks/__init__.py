"""What a kind of system predicts, and how that is learnt.

A task has `loss`, over a dict of outputs and a batch, and `predict`.
"""
