"""Optimisers, learning-rate schedules, and groups of parameters.

Optimisers and schedules are specs (see `specs`), such as
`optimizer='sgd(momentum=0.9)'` and `schedule='poly(power=0.9, floor=1e-4)'`.

Parameters can be divided into groups with optimisers and learning rates of
their own, which can be updated in turns, as architecture search does:

  groups = {
      'weights': dict(names='', base=0.025, turn=0),
      'architecture': dict(
          names='^(alphas|betas)', optimizer='adam(b1=0.5)', base=3e-3, turn=1
      ),
  }

The first layers of a backbone can learn more slowly than the last ones:
`layer_decay='layers(decay=0.8)'`. A backbone says which of its parameters lie
in which layer by `layer_names`, or `stage_names`: regular expressions, searched
in names without 'backbone/', the first layer first.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import math
import re
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax

from segjax import specs


def poly(
    base: float, total: int, *, power: float = 0.9, floor: float = 0.0
) -> optax.Schedule:
  """Returns polynomial decay from `base` to `floor` in the last step.

  Chen et al., DeepLab, https://arxiv.org/abs/1606.00915, section 4.1.2; the
  floor is mmsegmentation's.
  """

  def rate(step):
    # In compiled code the quotient can round to above 1 in the last step, where
    # `optax.polynomial_schedule` would return NaN.
    left = jnp.maximum(1 - step / max(total - 1, 1), 0.0)
    return floor + (base - floor) * left**power

  return rate


def cosine(base: float, total: int, *, floor: float = 0.0) -> optax.Schedule:
  """Returns cosine decay from `base` to `floor` in the last step.

  Loshchilov and Hutter, https://arxiv.org/abs/1608.03983, equation 5.
  """
  return optax.cosine_decay_schedule(base, max(total - 1, 1), floor / base)


def multistep(
    base: float,
    total: int,
    *,
    at: tuple[float, ...] = (0.6, 0.8),
    factor: float = 0.1,
) -> optax.Schedule:
  """Returns a rate that drops by `factor` at each of the fractions `at`.

  The fractions are of the run; a fraction that is given twice drops it twice.
  """
  steps, counts = np.unique(
      np.round(np.atleast_1d(at) * total), return_counts=True
  )
  return optax.piecewise_constant_schedule(
      base, dict(zip(steps, factor**counts, strict=True))
  )


def exponential(
    base: float, total: int, *, factor: float, every: int
) -> optax.Schedule:
  """Returns a rate that is multiplied by `factor` after every `every` steps.

  Steps are divided as integers: `optax.exponential_decay`, compiled, is a step
  late for some lengths by rounding.
  """
  del total
  if every < 1:
    raise ValueError(
        f'exponential(every={every}) must be at least 1: it is a number of'
        ' steps.'
    )
  return lambda step: base * factor ** (step // every)


def constant(base: float, total: int) -> optax.Schedule:
  """Returns the rate `base` for all steps."""
  del total
  return optax.constant_schedule(base)


@dataclasses.dataclass(frozen=True)
class Plateau:
  """Schedule that drops by `factor` when the evaluation score stops rising.

  It drops after `patience` evaluations in a row that do not exceed the best
  score by more than `threshold`, as Keras's `ReduceLROnPlateau` does. The best
  score and the counter are part of the optimiser's state, which `observe`
  updates after an evaluation.
  """

  base: float
  total: int
  _: dataclasses.KW_ONLY
  factor: float = 0.1
  patience: int = 10
  threshold: float = 1e-4

  def __post_init__(self):
    if not (0 < self.factor < 1 and self.patience > 0 and self.threshold > 0):
      raise ValueError(
          f'plateau(factor={self.factor}, patience={self.patience},'
          f' threshold={self.threshold}): the factor lies between 0 and 1, the'
          ' patience is at least 1, and the threshold is above 0.'
      )

  def __call__(self, step: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
    """Returns the rate before any drop."""
    return constant(self.base, self.total)(step)

  def rule(self) -> optax.GradientTransformationExtraArgs:
    """Returns the transformation of optax that decides when to drop."""
    return optax.contrib.reduce_on_plateau(
        self.factor, self.patience, rtol=0.0, atol=self.threshold
    )


# A function of the parameters that returns a tree of booleans: which decay.
Mask = Callable[[Any], Any]


def sgd(
    weight_decay: float,
    mask: Mask,
    *,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> optax.GradientTransformation:
  """Returns SGD with momentum; weight decay is part of the gradient.

  This is PyTorch's `SGD`.
  """
  return optax.chain(
      optax.add_decayed_weights(weight_decay, mask),
      optax.trace(momentum, nesterov),
  )


def adam(
    weight_decay: float,
    mask: Mask,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
  """Returns Adam; weight decay is part of the gradient, as in PyTorch."""
  return optax.chain(
      optax.add_decayed_weights(weight_decay, mask),
      optax.scale_by_adam(b1, b2, eps),
  )


def adamw(
    weight_decay: float,
    mask: Mask,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
  """Returns Adam with decoupled decay, https://arxiv.org/abs/1711.05101."""
  return optax.chain(
      optax.scale_by_adam(b1, b2, eps),
      optax.add_decayed_weights(weight_decay, mask),
  )


def rmsprop(
    weight_decay: float,
    mask: Mask,
    *,
    decay: float = 0.9,
    eps: float = 1e-6,
    initial: float = 0.0,
    momentum: float = 0.0,
) -> optax.GradientTransformation:
  """Returns RMSprop with epsilon inside the root, as in Lasagne and TensorFlow.

  The defaults are those of Lasagne, with which FC-DenseNet's authors train.
  `rmsprop(decay=0.995, eps=1e-10, initial=1.0)` is the recipe of MobileUNet and
  AdapNet in TensorFlow 1; ContextNet has momentum.

  Args:
    weight_decay: factor of the parameters that is added to the gradient.
    mask: marks the parameters that decay.
    decay: decay rate of the running mean of squared gradients.
    eps: added to that mean.
    initial: value of that mean before the first step.
    momentum: momentum of the updates; 0 has none.
  """
  return optax.chain(
      optax.add_decayed_weights(weight_decay, mask),
      optax.scale_by_rms(decay, eps, initial),
      optax.trace(momentum) if momentum else optax.identity(),
  )


SCHEDULES = {
    'poly': poly,
    'cosine': cosine,
    'multistep': multistep,
    'exponential': exponential,
    'constant': constant,
    'plateau': Plateau,
}
OPTIMIZERS = {'sgd': sgd, 'adam': adam, 'adamw': adamw, 'rmsprop': rmsprop}


def layer_factors(
    names: Iterable[str], decay: float, *, last: int = 1
) -> tuple[tuple[str, float], ...]:
  """Returns factors of the learning rate that fall from layer to layer.

  The last layer has `decay**last`, the one before it `decay` times as much, and
  so on; what is in no layer, such as a head, has 1. `last=1` is the rule of
  BEiT, https://arxiv.org/abs/2106.08254, whose embedding of patches is a layer
  in front of the blocks.

  Args:
    names: regular expression of the parameters of each layer of a backbone, the
      first layer first.
    decay: factor from a layer to the one before it, above 0 and at most 1.
    last: how many times the last layer has it.

  Returns:
    Pairs as in `config.optim.factors`.
  """
  if not 0 < decay <= 1 or last < 0:
    raise ValueError(
        f'config.optim.layer_decay has decay={decay} and last={last}: the decay'
        ' lies above 0 and is at most 1, and `last` is a number of times.'
    )
  names = tuple(names)
  return tuple(
      (f'^backbone/(?:{name})', decay ** (last + len(names) - 1 - i))
      for i, name in enumerate(names)
  )


# Functions for `config.optim.layer_decay`, by the attribute of a backbone that
# has the names which they take.
LAYER_DECAYS = {'layers': layer_factors, 'stages': layer_factors}


def layer_factors_of(
    backbone: Any, layer_decay: str
) -> tuple[tuple[str, float], ...]:
  """Returns the factors by layers that a config asks for.

  Args:
    backbone: module of the backbone, or None of a system without one.
    layer_decay: spec of a function of `LAYER_DECAYS`; '' has no factors.

  Raises:
    ValueError: the spec is wrong, or the backbone does not say what its layers
      or stages are.
  """
  if not layer_decay:
    return ()
  kind, kwargs = specs.parse(
      layer_decay, LAYER_DECAYS, 'decay by layers', given=('names',)
  )
  attribute = f'{kind.removesuffix("s")}_names'
  names = getattr(backbone, attribute, None)
  if names is None:
    raise ValueError(
        f'config.optim.layer_decay={layer_decay!r} wants a backbone that has'
        f' {attribute}: vit, swin and convnext have layer_names, and convnext'
        ' has stage_names. Leave it empty and write config.optim.factors for'
        ' others.'
    )
  try:
    return LAYER_DECAYS[kind](names, **kwargs)
  except TypeError as error:  # `decay` is missing.
    raise ValueError(
        f'config.optim.layer_decay={layer_decay!r}: {error}.'
    ) from error


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
  """Learning rate as a function of the step, from `schedule`.

  Attributes:
    arguments: arguments of `schedule`, of which groups replace some.
    function: returns the rate of a step.
    plateau: rule by which evaluation scores lower the rate, or None.
  """

  arguments: dict[str, Any]
  function: optax.Schedule
  plateau: Plateau | None

  def __call__(self, step: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
    """Returns the learning rate of a step."""
    return self.function(step)


def schedule(
    total_steps: int,
    *,
    base: float,
    schedule: str,
    warmup_steps: int,
    warmup_from: float = 0.0,
) -> optax.Schedule:
  """Returns the learning rate as a function of the step.

  Args:
    total_steps: length of the run.
    base: initial rate of the schedule.
    schedule: spec of a function of `SCHEDULES`.
    warmup_steps: length of a linear warm-up, which multiplies the schedule.
    warmup_from: factor of the rate in the first step, as in PyTorch's
      `LinearLR`. With 0.0 the factor of the first step is 1 / warmup_steps,
      since a step with a rate of 0 would change nothing.
  """
  name, kwargs = specs.parse(
      schedule, SCHEDULES, 'schedule', given=('base', 'total')
  )
  try:
    after = SCHEDULES[name](base, total_steps, **kwargs)
  except TypeError as error:  # An argument without a default is missing.
    raise ValueError(f'config.lr.schedule={schedule!r}: {error}.') from error
  if not 0 <= warmup_from <= 1:
    raise ValueError(
        f'config.lr.warmup_from={warmup_from} is a share of the rate, from 0.0'
        ' to 1.0.'
    )

  def warmed(step):
    if warmup_from:
      share = warmup_from + (1 - warmup_from) * step / warmup_steps
    else:
      share = (step + 1) / warmup_steps
    return after(step) * jnp.minimum(share, 1.0)

  return Schedule(
      dict(
          total_steps=total_steps,
          base=base,
          schedule=schedule,
          warmup_steps=warmup_steps,
          warmup_from=warmup_from,
      ),
      warmed if warmup_steps else after,
      after if isinstance(after, Plateau) else None,
  )


class Watch(flax.struct.PyTreeNode):
  """State of a learning rate that depends on evaluation scores.

  Attributes:
    scores: best score, counter, and the current factor of the rate (`scale`).
    plateau: the rule that updates them.
  """

  scores: optax.contrib.ReduceLROnPlateauState
  plateau: Plateau = flax.struct.field(pytree_node=False)


def observe(opt_state: optax.OptState, score: float) -> optax.OptState:
  """Updates the optimiser's state by the score of an evaluation.

  Only rates with the schedule 'plateau' depend on it; a state without such a
  rate is returned unchanged.

  Args:
    opt_state: state of the transformation from `create`.
    score: score of the evaluation; higher is better.
  """

  def update(node):
    return _update(node, score) if isinstance(node, Watch) else node

  return jax.tree.map(
      update, opt_state, is_leaf=lambda node: isinstance(node, Watch)
  )


# Jitted, since arrays that several processes share allow no eager operations.
@jax.jit
def _update(watch, score):
  # The rule of optax waits for a value to fall, so it gets the negated score.
  _, scores = watch.plateau.rule().update({}, watch.scores, value=-score)
  return watch.replace(scores=scores)


def _scale_by_plateau(plateau):
  """Returns the transformation that multiplies by the plateau factor."""

  def init(params):
    del params
    return Watch(plateau.rule().init(jnp.zeros(())), plateau)

  def update(updates, state, params=None):
    del params
    scale = state.scores.scale
    return jax.tree.map(lambda x: scale.astype(x.dtype) * x, updates), state

  return optax.GradientTransformation(init, update)


def _plateau_scale(opt_state):
  """Returns the plateau factor in the state of one group, or 1."""
  nodes = jax.tree.leaves(
      opt_state, is_leaf=lambda node: isinstance(node, Watch)
  )
  scales = [node.scores.scale for node in nodes if isinstance(node, Watch)]
  return scales[0] if scales else 1.0


@dataclasses.dataclass(frozen=True)
class Group:
  """Parameters with an optimiser and a learning rate of their own.

  Attributes:
    names: regular expression that is searched in the names of parameters. One
      group has '' and takes the parameters that match no other group.
    turn: the group is updated in the steps that equal this modulo the number of
      turns.
    begin: fraction of the run before which the group is not updated. Before any
      group of a turn has begun, its steps go to turn 0.
    options: options that replace those of the config, some of `OPTIONS`.
  """

  names: str
  turn: int
  begin: float
  options: dict[str, Any]


# Options that a group can replace. `clip` limits the norm over the group alone.
OPTIONS = (
    *('optimizer', 'weight_decay', 'decay_on', 'clip'),
    *('base', 'schedule'),
)


def create(
    learning_rate: optax.Schedule,
    *,
    optimizer: str,
    weight_decay: float,
    decay_on: str,
    factors: Iterable[tuple[str, float]],
    clip: float,
    groups: Mapping[str, Mapping[str, Any]] | None = None,
    layers: Iterable[tuple[str, float]] = (),
    total_steps: int,
) -> optax.GradientTransformationExtraArgs:
  """Returns the gradient transformation of an optimiser.

  Groups that take turns need the step, with skipped steps counted:
  `update(gradients, state, params, step=step)`. Without groups it is ignored.

  Args:
    learning_rate: function of the step. If groups have a `base` or `schedule`
      of their own, it has to be the result of `schedule`.
    optimizer: spec of a function of `OPTIMIZERS`.
    weight_decay: weight decay.
    decay_on: regular expression that is searched in the names of parameters;
      those that match decay.
    factors: pairs of a regular expression and a factor of the learning rate.
      The first that matches the name of a parameter counts. A parameter with
      0.0 does not change, not even by weight decay.
    clip: largest norm of the gradient, 0 for no limit.
    groups: {name: {'names': ..., 'turn': ..., 'begin': ..., option: value}},
      see `Group`, or None for one optimiser of all parameters.
    layers: result of `layer_factors`; the rate of a parameter is multiplied by
      its factor here and by that of `factors`.
    total_steps: length of the run.

  Raises:
    ValueError: an argument is wrong or, when the state is initialised, groups
      and parameters do not fit together.
  """
  factors, layers = tuple(factors), tuple(layers)
  for pattern, _ in factors:
    _check_pattern(pattern, 'config.optim.factors')
  every = (factors, layers)
  common = dict(
      optimizer=optimizer,
      weight_decay=weight_decay,
      decay_on=decay_on,
      clip=clip,
  )
  if not groups:
    direction = _direction('config.optim', every, **common)
    return optax.with_extra_args_support(
        optax.chain(*direction, *_scale(learning_rate))
    )
  parsed = _parse_groups(groups)

  def transformation(name, group):
    """Returns the gradient transformation of one group."""
    changed = {k: v for k, v in group.options.items() if k in common}
    where = f'config.optim.groups.{name}'
    direction = optax.chain(*_direction(where, every, **{**common, **changed}))

    def is_updated(updates, *, step=None):
      # The number of updates lacks the steps that were skipped, which count as
      # turns, too.
      del updates
      if step is None:
        raise ValueError(
            'config.optim.groups take turns by the step: call'
            ' update(gradients, state, params, step=step).'
        )
      has_begun = step >= _first_step(group, total_steps)
      return has_begun & (_turn(parsed, step, total_steps) == group.turn)

    if any(other.turn or other.begin for other in parsed.values()):
      direction = optax.conditionally_mask(
          direction, is_updated, forward_extra_args=True
      )
    # The rate is outside the mask, since it advances in every step.
    return optax.chain(direction, *_scale(_group_rate(learning_rate, group)))

  return optax.partition(
      {name: transformation(name, group) for name, group in parsed.items()},
      lambda params: _assign(parsed, params),
  )


def rates(
    learning_rate: optax.Schedule,
    groups: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[jax.typing.ArrayLike, optax.OptState], dict[str, jax.Array]]:
  """Returns a function that computes the learning rates for the log.

  Args:
    learning_rate: as `create` takes it.
    groups: as `create` takes them.

  Returns:
    `function(step, opt_state)` of the number of updates and the state of
    `create`, which returns {'learning_rate': rate}. With groups this is the
    rate of the group with names='', and the rates of the others are
    'learning_rate_GROUP'.
  """
  if not groups:
    return lambda step, opt_state: {
        'learning_rate': learning_rate(step) * _plateau_scale(opt_state)
    }
  group_rates = {
      name: (
          f'learning_rate_{name}' if group.names else 'learning_rate',
          _group_rate(learning_rate, group),
      )
      for name, group in _parse_groups(groups).items()
  }
  return lambda step, opt_state: {
      key: rate(step) * _plateau_scale(opt_state.inner_states[name])
      for name, (key, rate) in group_rates.items()
  }


def turn(
    groups: Mapping[str, Mapping[str, Any]] | None,
    step: jax.typing.ArrayLike,
    *,
    total_steps: int,
) -> jax.typing.ArrayLike:
  """Returns the turn of a step, an integer; 0 without groups.

  The data of a step can depend on it: architecture search learns weights and
  architecture from two halves of the images.
  """
  return _turn(_parse_groups(groups), step, total_steps) if groups else 0


def factor(factors: Iterable[tuple[str, float]], name: str) -> float:
  """Returns the factor of the learning rate of the parameter `name`."""
  for pattern, value in factors:
    if re.search(pattern, name):
      return value
  return 1.0


def by_name(params: Any, function: Callable[[str], Any]) -> Any:
  """Maps each parameter to `function` of its name, 'backbone/conv/kernel'."""
  return jax.tree_util.tree_map_with_path(
      lambda path, _: function('/'.join(key.key for key in path)), params
  )


def _direction(where, factors, *, optimizer, weight_decay, decay_on, clip):
  """Returns the transformations from gradients to unscaled updates.

  Args:
    where: path of the options in the config, for errors.
    factors: lists of factors; a parameter has the product of one of each.
    optimizer: see `create`.
    weight_decay: see `create`.
    decay_on: see `create`.
    clip: see `create`.
  """
  name, kwargs = specs.parse(
      optimizer, OPTIMIZERS, 'optimizer', given=('weight_decay', 'mask')
  )
  _check_pattern(decay_on, f'{where}.decay_on')

  def decays(params):
    return by_name(params, lambda n: bool(re.search(decay_on, n)))

  def multiply(updates, _):
    if not any(factors):
      return updates
    values = by_name(
        updates,
        lambda name: math.prod(factor(pairs, name) for pairs in factors),
    )
    return jax.tree.map(jnp.multiply, updates, values)

  return (
      optax.clip_by_global_norm(clip) if clip else optax.identity(),
      OPTIMIZERS[name](weight_decay, decays, **kwargs),
      optax.stateless(multiply),
  )


def _scale(learning_rate):
  """Returns the transformations that multiply updates by the learning rate."""
  plateau = getattr(learning_rate, 'plateau', None)
  return (
      optax.scale_by_learning_rate(learning_rate),
      *((_scale_by_plateau(plateau),) if plateau else ()),
  )


def _group_rate(learning_rate, group):
  """Returns the learning rate of a group, as a function of the step."""
  changed = {
      k: v for k, v in group.options.items() if k in ('base', 'schedule')
  }
  if not changed:
    return learning_rate
  return schedule(**{**learning_rate.arguments, **changed})


def _first_step(group, total_steps):
  """Returns the first step in which a group is updated."""
  return round(group.begin * total_steps)


def _turn(groups, step, total_steps):
  """Returns the turn of a step; see `turn`."""
  first = {}
  for group in groups.values():
    start = _first_step(group, total_steps)
    first[group.turn] = min(start, first.get(group.turn, start))
  now = step % len(first)
  starts = jnp.array([first[i] for i in range(len(first))])
  return jnp.where(step >= starts[now], now, 0)


def _assign(groups, params):
  """Maps each parameter to the name of its group."""
  rest = next(name for name, group in groups.items() if not group.names)

  def group_of(parameter):
    matches = [
        name
        for name, group in groups.items()
        if group.names and re.search(group.names, parameter)
    ]
    if len(matches) > 1:
      raise ValueError(
          f'The parameter {parameter} belongs to more than one group of'
          f' config.optim.groups: {", ".join(matches)}. Change their `names` so'
          ' that only one of them matches it.'
      )
    return matches[0] if matches else rest

  assigned = by_name(params, group_of)
  empty = sorted(groups.keys() - set(jax.tree.leaves(assigned)))
  if empty:
    name = empty[0]
    examples = jax.tree.leaves(by_name(params, str))[:5]
    raise ValueError(
        f'config.optim.groups.{name} (names={groups[name].names!r}) has no'
        f' parameter. Parameters are, for example: {", ".join(examples)}.'
    )
  return assigned


def _parse_groups(groups):
  """Parses the groups of a config into {name: Group}, or raises ValueError."""
  parsed = {}
  for name, fields in groups.items():
    where = f'config.optim.groups.{name}'
    options = dict(fields)
    known = ('names', 'turn', 'begin', *OPTIONS)
    if unknown := sorted(options.keys() - set(known)):
      raise ValueError(
          f'{where} has no option {unknown[0]!r}. Known: {", ".join(known)}.'
      )
    if 'names' not in options:
      raise ValueError(
          f"{where} lacks `names`: a regular expression for the names of its"
          " parameters, or '' for the parameters that match no other group."
      )
    group = Group(
        options.pop('names'),
        options.pop('turn', 0),
        options.pop('begin', 0.0),
        options,
    )
    _check_pattern(group.names, f'{where}.names')
    if not 0 <= group.begin < 1:
      raise ValueError(
          f'{where}.begin={group.begin} is a fraction of the run, from 0.0 to'
          ' less than 1.0.'
      )
    parsed[name] = group
  rest = [name for name, group in parsed.items() if not group.names]
  if len(rest) != 1:
    raise ValueError(
        "config.optim.groups: exactly one group must have names='', for the"
        ' parameters that match no other group; here'
        f' {len(rest)} have it ({", ".join(rest)}).'
    )
  turns = {group.turn for group in parsed.values()}
  if turns != set(range(len(turns))):
    raise ValueError(
        f'config.optim.groups have the turns {sorted(turns)}; they are counted'
        ' from 0 without a gap.'
    )
  if all(group.begin for group in parsed.values() if group.turn == 0):
    raise ValueError(
        'config.optim.groups: a group of turn 0 has begin=0.0, since it takes'
        ' the steps of turns that have not begun: set it.'
    )
  return parsed


def _check_pattern(pattern, where):
  """Raises ValueError unless a text is a regular expression."""
  try:
    re.compile(pattern)
  except re.error as error:
    raise ValueError(
        f'{where}: {pattern!r} is no regular expression: {error}.'
    ) from error
