"""Dropout of whole channels, and of whole paths."""

from flax import linen as nn
import jax


def channel_dropout(rate: float, train: bool) -> nn.Module:
  """Returns a layer that zeroes whole channels of an image in training."""
  return nn.Dropout(rate, broadcast_dims=(1, 2), deterministic=not train)


def drop_path(rate: float, train: bool) -> nn.Module:
  """Returns a layer that zeroes whole images [B, H, W, C] in training.

  Applied to a residual branch it is stochastic depth,
  https://arxiv.org/abs/1603.09382: an image skips the branch.
  """
  return nn.Dropout(rate, broadcast_dims=(1, 2, 3), deterministic=not train)


class ScheduledDropPath(nn.Module):
  """Zeroes features of random images in training, ever more of them.

  Scheduled drop path of NASNet, https://arxiv.org/abs/1707.07012: what is left
  is divided by its share, which falls from 1 to 1 - `rate` in the training.
  """

  rate: float

  @nn.compact
  def __call__(self, x, progress, train):
    """Returns features of the shape of x.

    Args:
      x: [B, h, w, C].
      progress: share of the training that is done, [].
      train: whether paths are dropped.
    """
    if not (train and self.rate):
      return x
    kept = 1 - self.rate * progress
    mask = jax.random.bernoulli(self.make_rng('dropout'), kept, (len(x),))
    return x * (mask / kept).astype(x.dtype)[:, None, None, None]
