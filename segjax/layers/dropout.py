"""Dropout of whole channels."""

from flax import linen as nn


def channel_dropout(rate: float, train: bool) -> nn.Module:
  """Returns a layer that zeroes whole channels of an image in training."""
  return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train)
