"""What a kind of system predicts, and how that is learnt.

A task has `channels`, of the logits for so many classes; `loss`, over a dict of
outputs and a batch; and `predict`.
"""
