"""Optimisers, learning-rate schedules, and what parameters they apply to.

Everything that has arguments is named by a string, as in
`optimizer='sgd(momentum=0.9)'`, `schedule='poly(power=0.9, floor=1e-4)'`.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax

from segjax import specs


def poly(base, total, *, power=0.9, floor=0.0):
  """Falls from `base` to `floor`, reached in the last step.

  Chen et al., DeepLab, https://arxiv.org/abs/1606.00915, section 4.1.2; the
  floor is mmsegmentation's.
  """

  def rate(step):
    # Compiled, the quotient can exceed 1 in the last step, by rounding.
    left = jnp.maximum(1 - step / max(total - 1, 1), 0.0)
    return floor + (base - floor) * left**power

  return rate


def cosine(base, total, *, floor=0.0):
  """Half a cosine from `base` to `floor`, reached in the last step.

  Loshchilov and Hutter, https://arxiv.org/abs/1608.03983, equation 5.
  """
  return lambda step: (
      floor
      + (base - floor) * 0.5 * (1 + jnp.cos(jnp.pi * step / max(total - 1, 1)))
  )


def multistep(base, total, *, at=(0.6, 0.8), factor=0.1):
  """Multiplies by `factor` at each of these fractions of the run."""
  places = np.round(np.atleast_1d(at) * total)
  return lambda step: base * factor ** (step >= places).sum()


def constant(base, total):
  """Stays at `base`."""
  del total
  return lambda step: jnp.full_like(step, base, dtype=jnp.float32)


def sgd(weight_decay, mask, *, momentum=0.9, nesterov=False):
  """SGD with momentum; the decay is part of the gradient, as in PyTorch."""
  return optax.chain(
      optax.add_decayed_weights(weight_decay, mask),
      optax.trace(momentum, nesterov),
  )


def adam(weight_decay, mask, *, b1=0.9, b2=0.999, eps=1e-8):
  """Adam; the decay is part of the gradient, as in PyTorch."""
  return optax.chain(
      optax.add_decayed_weights(weight_decay, mask),
      optax.scale_by_adam(b1, b2, eps),
  )


def adamw(weight_decay, mask, *, b1=0.9, b2=0.999, eps=1e-8):
  """Adam with decoupled decay, https://arxiv.org/abs/1711.05101."""
  return optax.chain(
      optax.scale_by_adam(b1, b2, eps),
      optax.add_decayed_weights(weight_decay, mask),
  )


SCHEDULES = {
    'poly': poly,
    'cosine': cosine,
    'multistep': multistep,
    'constant': constant,
}
OPTIMIZERS = {'sgd': sgd, 'adam': adam, 'adamw': adamw}


def schedule(config, total_steps):
  """Returns the learning rate as a function of the step.

  Args:
    config: `base`, `schedule` and `warmup_steps`; the warm-up is linear and
      multiplies the schedule.
    total_steps: length of the run.
  """
  name, kwargs = specs.parse(
      config.schedule, SCHEDULES, 'schedule', given=('base', 'total')
  )
  after = SCHEDULES[name](config.base, total_steps, **kwargs)
  if not config.warmup_steps:
    return after
  warmup = config.warmup_steps
  return lambda step: after(step) * jnp.minimum((step + 1) / warmup, 1.0)


def create(config, learning_rate):
  """Returns the gradient transformation.

  Args:
    config: `optimizer`, `weight_decay`, `decay_on` (regular expression of the
      parameters that decay), `factors` (pairs of a regular expression and a
      factor on the learning rate; the first that is found in a name counts,
      and 0.0 leaves the parameter as it is, undecayed) and `clip` (norm of the
      gradient, 0 for no limit).
    learning_rate: function of the step.
  """
  name, kwargs = specs.parse(
      config.optimizer, OPTIMIZERS, 'optimizer', given=('weight_decay', 'mask')
  )
  for pattern in (config.decay_on, *(pattern for pattern, _ in config.factors)):
    try:
      re.compile(pattern)
    except re.error as error:
      raise ValueError(
          f'config.optim: {pattern!r} is no regular expression: {error}.'
      ) from error

  def decays(params):
    return by_name(params, lambda n: bool(re.search(config.decay_on, n)))

  return optax.chain(
      optax.clip_by_global_norm(config.clip)
      if config.clip
      else optax.identity(),
      OPTIMIZERS[name](config.weight_decay, decays, **kwargs),
      optax.stateless(
          lambda updates, _: jax.tree.map(
              jnp.multiply,
              updates,
              by_name(updates, lambda name: factor(config, name)),
          )
          if config.factors
          else updates
      ),
      optax.scale_by_learning_rate(learning_rate),
  )


def factor(config, name):
  """Returns the factor on the learning rate of a parameter."""
  for pattern, value in config.factors:
    if re.search(pattern, name):
      return value
  return 1.0


def by_name(params, function):
  """Maps every parameter to `function('backbone/stem/conv/kernel')`."""
  return jax.tree_util.tree_map_with_path(
      lambda path, _: function('/'.join(key.key for key in path)), params
  )
