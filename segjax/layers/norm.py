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


class LocalResponseNorm(nn.Module):
  """Divides each value by the strength of its neighbours among the channels.

  That is (1 + alpha * mean square of `size` channels) ** beta, the value's own
  in the middle; those beyond the first and the last count as 0. Caffe's and
  PyTorch's; the paper's alpha (Krizhevsky et al. 2012, section 3.3) is of the
  sum of squares instead. The arithmetic is float32.
  """

  size: int = 5
  alpha: float = 1e-4
  beta: float = 0.75

  @nn.compact
  def __call__(self, x):
    reach, channels = self.size // 2, x.shape[-1]
    squares = jnp.square(x.astype(jnp.float32))
    squares = jnp.pad(squares, ((0, 0),) * (x.ndim - 1) + ((reach, reach),))
    total = sum(squares[..., i : i + channels] for i in range(self.size))
    return (x / (1 + self.alpha / self.size * total) ** self.beta).astype(
        x.dtype
    )
