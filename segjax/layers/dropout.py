"""Dropout of whole channels, and of whole branches."""

from flax import linen as nn


def channel_dropout(rate: float, train: bool) -> nn.Module:
  """Returns a layer that zeroes whole channels of an image in training."""
  return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train)


def drop_path(rate: float, train: bool) -> nn.Module:
  """Returns a layer that zeroes whole images [B, H, W, C] in training.

  Applied to a residual branch it is stochastic depth,
  https://arxiv.org/abs/1603.09382: an image skips the branch.
  """
  return nn.Dropout(rate, broadcast_dims=(1, 2, 3), deterministic=not train)
