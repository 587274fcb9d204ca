"""Turns outputs of a model into predictions at the size of an image."""
