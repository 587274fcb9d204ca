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
    use_scale: whether there is a scale. MobileUNet and AdapNet have none.
    use_bias: whether there is a bias. The separable convolutions and the search
      of Auto-DeepLab have neither scale nor bias.
    absolute_scale: multiplies by the absolute value of the scale plus
      `epsilon`, see `activated_batch_norm`.
    batch_at_test: normalises by the batch in evaluation as well, which has to
      be a single image then: else its score would depend on the images beside
      it. The code of MobileUNet and AdapNet does so, and some of FC-DenseNet's.
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


# A collection like batch_stats with the statistics of the last batch alone. It
# is filled where it is given.
ONE_BATCH = 'one_batch_stats'


def precise_statistics(
    apply: Callable[[Any, Any], Any], variables: Any, batches: Iterable[Any]
) -> Any:
  """Returns variables with the statistics of norms collected anew.

  They are the means of the batches' own statistics, each with the same weight.
  Training leaves moving averages instead, of statistics under parameters that
  changed. SegNet's and Dynamic Routing's authors collect them before they test.
  A norm that is not applied, or is frozen, keeps what it has.

  Args:
    apply: `apply(variables, batch)` runs the model as in training and returns
      the collections that changed, as in `model.apply(variables, batch,
      train=True, mutable=[name for name in variables if name != 'params'])[1]`.
      It may be compiled.
    variables: of the model, with 'batch_stats'.
    batches: what `apply` takes, one after the other; of one size.

  Raises:
    ValueError: there is no batch, or `apply` does not return its statistics.
  """
  means = None
  given = {**variables, ONE_BATCH: variables['batch_stats']}
  for count, batch in enumerate(batches, 1):
    changed = apply(given, batch)
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


# Compiled, since arrays that several hosts share allow nothing else.
@jax.jit
def _running_mean(means, new, count):
  """Returns the means of `count` trees, of those before and a new one."""
  return jax.tree.map(lambda m, x: m + (x - m) / count, means, new)


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

# In-place activated batch normalisation, https://arxiv.org/abs/1712.02616, of
# OCNet, ACFNet and NoamRosenberg's Auto-DeepLab; the code multiplies by
# |scale| + epsilon. What follows is `act=nn.leaky_relu`, with a slope of 0.01,
# or no activation.
activated_batch_norm = functools.partial(BatchNorm, absolute_scale=True)
