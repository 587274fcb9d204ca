"""Normalisation layers."""

from collections.abc import Callable
from collections.abc import Iterable
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from segjax.ops import normalize


class BatchNorm(nn.Module):
  """Normalises channels by statistics of the batch on all devices.

  It has the variables of Flax's layer and computes by `ops.normalize`.
  Statistics are float32 whatever the type of the activations. The running
  variance averages the biased variances of batches; PyTorch averages the
  unbiased ones.

  Attributes:
    train: normalises by the statistics of the batch, instead of the running
      ones.
    momentum: share of the running statistics that remains after a batch;
      PyTorch's momentum is 1 minus this one.
    epsilon: added to the variance.
    scale_init: initialiser of the scale.
    use_scale: whether there is a scale. MobileUNet and AdapNet have none.
    use_bias: whether there is a bias. The separable convolutions and the search
      of Auto-DeepLab have neither scale nor bias.
    absolute_scale: multiplies by the absolute value of the scale plus
      `epsilon`, see `activated_batch_norm`.
    batch_at_test: normalises by the statistics of the batch in evaluation as
      well. A batch must be a single image then, or its score would depend on
      the other images. The code of MobileUNet and AdapNet does so, and some of
      FC-DenseNet's.
  """

  train: bool
  momentum: float = 0.9
  epsilon: float = 1e-5
  scale_init: Callable[..., jax.Array] = nn.initializers.ones
  use_scale: bool = True
  use_bias: bool = True
  absolute_scale: bool = False
  batch_at_test: bool = False

  @nn.compact
  def __call__(self, x):
    shape = x.shape[-1:]
    mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
    variance = self.variable('batch_stats', 'var', jnp.ones, shape)
    if self.use_scale:
      scale = self.param('scale', self.scale_init, shape)
    else:
      scale = jnp.ones(shape, x.dtype)
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, shape)
    else:
      bias = jnp.zeros(shape, x.dtype)
    if self.absolute_scale:
      scale = jnp.abs(scale) + self.epsilon
    if self.train:
      y, *statistics = normalize.normalize_batch(x, scale, bias, self.epsilon)
      if not self.is_initializing():
        for name, running, new in zip(
            ('mean', 'var'), (mean, variance), statistics, strict=True
        ):
          running.value = (
              self.momentum * running.value + (1 - self.momentum) * new
          )
          if self.has_variable(ONE_BATCH, name):
            self.put_variable(ONE_BATCH, name, new)
      return y
    statistics = mean.value, variance.value
    if self.batch_at_test:
      if len(x) > 1:
        raise ValueError(
            f'{"/".join(self.path)} normalises by the statistics of the batch'
            f' in evaluation too, and the batch has {len(x)} images: the score'
            ' of one would depend on the others. Set'
            ' config.predict.batch_size=1 and, on several devices,'
            " config.parallel='pmap'; or let the model use running statistics,"
            ' batch_at_test=False.'
        )
      statistics = normalize.statistics(x)
    return normalize.normalize(
        x, *statistics, scale, bias, epsilon=self.epsilon
    )


# A collection like batch_stats with the statistics of the last batch alone.
# Norms write to it if `apply` is called with it.
ONE_BATCH = 'one_batch_stats'


def precise_statistics(
    apply: Callable[[Any, Any], Any], variables: Any, batches: Iterable[Any]
) -> Any:
  """Recomputes the running statistics of batch norms with fixed parameters.

  Each becomes the mean of the statistics of the batches. Training leaves moving
  averages instead, of statistics from steps with different parameters. The
  authors of SegNet and Dynamic Routing recompute them before they test. A norm
  that is frozen, or that the model does not apply, keeps its statistics.

  Args:
    apply: `apply(variables, batch)` runs the model as in training and returns
      the collections that changed, as in `model.apply(variables, batch,
      train=True, mutable=[name for name in variables if name != 'params'])[1]`.
      It may be compiled.
    variables: variables of the model, with 'batch_stats'.
    batches: batches for `apply`, all of one size.

  Returns:
    `variables` with other values in 'batch_stats'.

  Raises:
    ValueError: there is no batch, or `apply` does not return the statistics of
      the batch.
  """
  means = None
  extended = {**variables, ONE_BATCH: variables['batch_stats']}
  for count, batch in enumerate(batches, 1):
    changed = apply(extended, batch)
    if ONE_BATCH not in changed:
      raise ValueError(
          f'`apply` returned {sorted(changed)} without {ONE_BATCH!r}: have it'
          ' return all collections that it is given, but params.'
      )
    new = changed[ONE_BATCH]
    means = new if means is None else _running_mean(means, new, count)
  if means is None:
    raise ValueError('Statistics are collected from at least one batch: got 0.')
  return {**variables, 'batch_stats': means}


# Arrays that several hosts share can only be used in compiled functions.
@jax.jit
def _running_mean(means, new, count):
  """Returns the mean of `count` trees from that of all but the last, and it."""
  return jax.tree.map(lambda m, x: m + (x - m) / count, means, new)


def group_norm(
    train: bool,
    *,
    groups: int = 32,
    epsilon: float = 1e-5,
    name: str | None = None,
) -> nn.Module:
  """Returns a group normalisation layer, https://arxiv.org/abs/1803.08494.

  Statistics are those of each image, in training and in evaluation. `train` is
  not used: with it the function has the signature of `BatchNorm`.
  """
  del train
  return nn.GroupNorm(
      num_groups=groups, epsilon=epsilon, param_dtype=jnp.float32, name=name
  )


def layer_norm(name: str, *, epsilon: float = 1e-6) -> nn.Module:
  """Returns a norm over the channels of each position.

  The default epsilon is that of vision transformers; PyTorch's is 1e-5.
  """
  return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)


# This epsilon is that of the batch norm in SegNet's and DeconvNet's Caffe.
caffe_batch_norm = functools.partial(BatchNorm, epsilon=1e-9)

# The norm of TensorFlow's slim where nothing is set, as in GeorgeSeif's
# Semantic-Segmentation-Suite.
slim_batch_norm = functools.partial(BatchNorm, use_scale=False, epsilon=1e-3)

# In-place activated batch normalisation, https://arxiv.org/abs/1712.02616,
# which OCNet, ACFNet and NoamRosenberg's Auto-DeepLab use. Its code multiplies
# by |scale| + epsilon. It is followed by `act=nn.leaky_relu` with a slope of
# 0.01, or by no activation.
activated_batch_norm = functools.partial(BatchNorm, absolute_scale=True)
