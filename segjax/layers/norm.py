"""Normalisation layers."""

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
