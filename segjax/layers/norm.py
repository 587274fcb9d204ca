"""Normalisation layers."""

from collections.abc import Callable
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops import normalize


class BatchNorm(nn.Module):
  """Batch normalisation over the global batch, `ops.normalize`.

  The variables are those of Flax's. Statistics are float32 whatever the type of
  the activations; the running variance is the biased one, where PyTorch keeps
  the unbiased.

  Attributes:
    train: normalises by the batch, not by the running statistics.
    momentum: share of the running statistics that a batch leaves; PyTorch's is
      1 - ours.
    epsilon: added to the variance.
    scale_init: initialiser of the scale.
  """

  train: bool
  momentum: float = 0.9
  epsilon: float = 1e-5
  scale_init: Callable[..., jax.Array] = nn.initializers.ones

  @nn.compact
  def __call__(self, x):
    shape = x.shape[-1:]
    mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
    variance = self.variable('batch_stats', 'var', jnp.ones, shape)
    scale = self.param('scale', self.scale_init, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    if not self.train:
      return normalize.normalize(
          x, mean.value, variance.value, scale, bias, epsilon=self.epsilon
      )
    y, *statistics = normalize.normalize_batch(x, scale, bias, self.epsilon)
    if not self.is_initializing():
      for running, new in zip((mean, variance), statistics, strict=True):
        running.value = (
            self.momentum * running.value + (1 - self.momentum) * new
        )
    return y


def group_norm(train, *, groups=32, epsilon=1e-5, name=None):
  """Group normalisation, https://arxiv.org/abs/1803.08494.

  Statistics are those of each image, in training and evaluation; `train` is
  there so that it can take the place of `BatchNorm`.
  """
  del train
  return nn.GroupNorm(
      num_groups=groups, epsilon=epsilon, param_dtype=jnp.float32, name=name
  )


# With the epsilon of the layer that SegNet's and DeconvNet's Caffe have.
caffe_batch_norm = functools.partial(BatchNorm, epsilon=1e-9)
