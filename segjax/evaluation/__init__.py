"""Scores of predictions against the truth, in NumPy on the host."""
