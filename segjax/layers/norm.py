"""Normalisation layers."""

import functools

from flax import linen as nn
import jax.numpy as jnp

from segjax import parallel


def batch_norm(
    train,
    *,
    momentum=0.9,
    epsilon=1e-5,
    scale_init=nn.initializers.ones,
    name=None,
):
  """Batch normalisation over the global batch.

  Under pmap the statistics are averaged over devices, under jit they are
  global by construction. Defaults are PyTorch's (its momentum is 1 - ours).
  Statistics are float32 whatever the type of the activations; the running
  variance is the biased one, where PyTorch keeps the unbiased.
  """
  return nn.BatchNorm(
      use_running_average=not train,
      axis_name=parallel.axis() if train else None,
      momentum=momentum,
      epsilon=epsilon,
      scale_init=scale_init,
      param_dtype=jnp.float32,
      name=name,
  )


def group_norm(train, *, groups=32, epsilon=1e-5, name=None):
  """Group normalisation, https://arxiv.org/abs/1803.08494.

  Statistics are those of each image, in training and evaluation; `train` is
  there so that it can take the place of `batch_norm`.
  """
  del train
  return nn.GroupNorm(
      num_groups=groups, epsilon=epsilon, param_dtype=jnp.float32, name=name
  )


# With the epsilon of the layer that SegNet's and DeconvNet's Caffe have.
caffe_batch_norm = functools.partial(batch_norm, epsilon=1e-9)
