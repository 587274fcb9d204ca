"""Optimisers, learning-rate schedules, and the parameters they apply to.

Everything that has arguments is named by a string, as in
`optimizer='sgd(momentum=0.9)'`, `schedule='poly(power=0.9, floor=1e-4)'`.

Parameters may be divided into groups that have optimisers and rates of their
own and take turns, as architecture search does:

  groups = {
      'weights': dict(names='', base=0.025, turn=0),
      'architecture': dict(
          names='^(alphas|betas)', optimizer='adam(b1=0.5)', base=3e-3, turn=1
      ),
  }
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import flax
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
    # Compiled, the quotient can exceed 1 in the last step, by rounding, and
    # `optax.polynomial_schedule` is then NaN.
    left = jnp.maximum(1 - step / max(total - 1, 1), 0.0)
    return floor + (base - floor) * left**power

  return rate


def cosine(base, total, *, floor=0.0):
  """Half a cosine from `base` to `floor`, reached in the last step.

  Loshchilov and Hutter, https://arxiv.org/abs/1608.03983, equation 5.
  """
  return optax.cosine_decay_schedule(base, max(total - 1, 1), floor / base)


def multistep(base, total, *, at=(0.6, 0.8), factor=0.1):
  """Multiplies by `factor` at each of these fractions of the run."""
  steps, counts = np.unique(
      np.round(np.atleast_1d(at) * total), return_counts=True
  )
  return optax.piecewise_constant_schedule(
      base, dict(zip(steps, factor**counts, strict=True))
  )


def exponential(base, total, *, factor, every):
  """Multiplies by `factor` every so many steps.

  The steps are counted in integers: compiled, `optax.exponential_decay` is a
  step late for some lengths, by rounding.
  """
  del total
  if every < 1:
    raise ValueError(
        f'exponential(every={every}) must be at least 1: it is a number of'
        ' steps.'
    )
  return lambda step: base * factor ** (step // every)


def constant(base, total):
  """Stays at `base`."""
  del total
  return optax.constant_schedule(base)


@dataclasses.dataclass(frozen=True)
class Plateau:
  """Multiplies by `factor` when the score of evaluations stops rising.

  That is when `patience` evaluations in a row are not better than the best one
  by more than `threshold`, as Keras's `ReduceLROnPlateau` has it. What has been
  seen of the scores is part of the optimiser's state; `observe` tells it of one
  more.
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

  def __call__(self, step):
    return constant(self.base, self.total)(step)

  def rule(self):
    """Returns optax's transformation, of which the state is used."""
    return optax.contrib.reduce_on_plateau(
        self.factor, self.patience, rtol=0.0, atol=self.threshold
    )


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


def rmsprop(
    weight_decay, mask, *, decay=0.9, eps=1e-6, initial=0.0, momentum=0.0
):
  """RMSprop with the epsilon inside the root, as in Lasagne and TensorFlow.

  The defaults are Lasagne's, which FC-DenseNet's authors train with;
  `rmsprop(decay=0.995, eps=1e-10, initial=1.0)` is what TensorFlow 1 makes of
  MobileUNet's and AdapNet's recipe, and ContextNet has momentum. The decay of
  weights is part of the gradient.

  Args:
    weight_decay: factor on the parameters, added to the gradient.
    mask: tells which parameters decay.
    decay: share of the mean of squares that a step leaves.
    eps: added to the mean of squares.
    initial: the mean of squares before the first step.
    momentum: share of the last update that a step adds; 0 adds none.
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


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
  """Learning rate as a function of the step, from `schedule`.

  Attributes:
    arguments: what `schedule` was called with; a group changes some of them.
    function: from the step to the rate.
    plateau: what scores do to the rate, or None.
  """

  arguments: dict[str, Any]
  function: optax.Schedule
  plateau: Plateau | None

  def __call__(self, step):
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
    base: the rate that the schedule begins with.
    schedule: a call of a function of `SCHEDULES`.
    warmup_steps: length of a linear warm-up, which multiplies the schedule.
    warmup_from: what the warm-up multiplies the rate of the first step by, as
      PyTorch's `LinearLR` does. A step with a rate of 0 would change nothing:
      0.0 has the first step take the first of `warmup_steps` equal shares.
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
  """State of a rate that depends on the scores of evaluations.

  Attributes:
    scores: what has been seen of them, with the factor on the rate as `scale`.
    plateau: the rule.
  """

  scores: optax.contrib.ReduceLROnPlateauState
  plateau: Plateau = flax.struct.field(pytree_node=False)


def observe(opt_state: optax.OptState, score: float) -> optax.OptState:
  """Returns the optimiser's state after an evaluation.

  Only rates with the schedule 'plateau' change; a state without them is
  returned as it is.

  Args:
    opt_state: of the transformation that `create` returns.
    score: of the evaluation; higher is better.
  """

  def observed(node):
    return _observed(node, score) if isinstance(node, Watch) else node

  return jax.tree.map(
      observed, opt_state, is_leaf=lambda node: isinstance(node, Watch)
  )


# Compiled, since arrays that several hosts share allow nothing else.
@jax.jit
def _observed(watch, score):
  # Optax's rule waits for a value to fall.
  _, scores = watch.plateau.rule().update({}, watch.scores, value=-score)
  return watch.replace(scores=scores)


def _scale_by_plateau(plateau):
  """Returns the transformation that multiplies by what scores left."""

  def init(params):
    del params
    return Watch(plateau.rule().init(jnp.zeros(())), plateau)

  def update(updates, state, params=None):
    del params
    scale = state.scores.scale
    return jax.tree.map(lambda x: scale.astype(x.dtype) * x, updates), state

  return optax.GradientTransformation(init, update)


def _plateau_scale(opt_state):
  """Returns what scores left of the rate of one group's state, or 1."""
  nodes = jax.tree.leaves(
      opt_state, is_leaf=lambda node: isinstance(node, Watch)
  )
  scales = [node.scores.scale for node in nodes if isinstance(node, Watch)]
  return scales[0] if scales else 1.0


@dataclasses.dataclass(frozen=True)
class Group:
  """Parameters with an optimiser and a rate of their own, and their turn.

  Attributes:
    names: regular expression of the names of its parameters. The one group with
      '' has those that no other group finds.
    turn: the group moves in the steps that are this modulo the number of turns.
    begin: fraction of the run before which the group does not move. The steps
      of a turn of which no group has begun go to turn 0.
    options: what it has otherwise than the config: some of `OPTIONS`.
  """

  names: str
  turn: int
  begin: float
  options: dict[str, Any]


# What a group may have of its own. A clipped gradient is that of the group.
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
    total_steps: int,
) -> optax.GradientTransformationExtraArgs:
  """Returns the gradient transformation.

  Groups that take turns have to be told the step, skipped ones counted, as
  `update(gradients, state, params, step=step)`. Without groups it is ignored.

  Args:
    learning_rate: function of the step. Groups with a base or a schedule of
      their own need one that `schedule` returned.
    optimizer: a call of a function of `OPTIMIZERS`.
    weight_decay: factor on the parameters that decay.
    decay_on: regular expression of their names.
    factors: pairs of a regular expression and a factor on the learning rate;
      the first that is found in a name counts, and 0.0 leaves the parameter as
      it is, undecayed.
    clip: norm of the gradient, 0 for no limit.
    groups: {name: fields of `Group` and what it has otherwise}, or nothing for
      one optimiser of all parameters.
    total_steps: length of the run.

  Raises:
    ValueError: something is written wrong, or, when the state is initialised,
      groups and parameters do not fit.
  """
  factors = tuple(factors)
  for pattern, _ in factors:
    _check_pattern(pattern, 'config.optim.factors')
  common = dict(
      optimizer=optimizer,
      weight_decay=weight_decay,
      decay_on=decay_on,
      clip=clip,
  )
  if not groups:
    direction = _direction('config.optim', factors, **common)
    return optax.with_extra_args_support(
        optax.chain(*direction, *_scale(learning_rate))
    )
  parsed = _parse_groups(groups)

  def transformation(name, group):
    changed = {k: v for k, v in group.options.items() if k in common}
    where = f'config.optim.groups.{name}'
    direction = optax.chain(
        *_direction(where, factors, **{**common, **changed})
    )

    def moves(updates, *, step=None):
      del updates  # Their number; steps that were skipped are turns as well.
      if step is None:
        raise ValueError(
            'config.optim.groups take turns by the step: call'
            ' update(gradients, state, params, step=step).'
        )
      begun = step >= _first_step(group, total_steps)
      return begun & (_turn(parsed, step, total_steps) == group.turn)

    if any(other.turn or other.begin for other in parsed.values()):
      direction = optax.conditionally_mask(
          direction, moves, forward_extra_args=True
      )
    # Outside: the rate follows the run, whosever turn it is.
    return optax.chain(direction, *_scale(_group_rate(learning_rate, group)))

  return optax.partition(
      {name: transformation(name, group) for name, group in parsed.items()},
      lambda params: _assign(parsed, params),
  )


def rates(
    learning_rate: optax.Schedule,
    groups: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[jax.typing.ArrayLike, optax.OptState], dict[str, jax.Array]]:
  """Returns the function of the learning rates that are reported.

  It is called with the number of updates so far and the state of `create`, and
  returns {'learning_rate': rate}. With groups, that is the rate of the group
  with names='', and the others' are 'learning_rate_GROUP'.
  """
  if not groups:
    return lambda step, opt_state: {
        'learning_rate': learning_rate(step) * _plateau_scale(opt_state)
    }
  of_group = {
      name: (
          f'learning_rate_{name}' if group.names else 'learning_rate',
          _group_rate(learning_rate, group),
      )
      for name, group in _parse_groups(groups).items()
  }
  return lambda step, opt_state: {
      key: rate(step) * _plateau_scale(opt_state.inner_states[name])
      for name, (key, rate) in of_group.items()
  }


def turn(
    groups: Mapping[str, Mapping[str, Any]] | None,
    step: jax.typing.ArrayLike,
    *,
    total_steps: int,
) -> jax.Array:
  """Returns whose turn a step is, an integer; 0 without groups.

  The data of a step may depend on it: a search learns weights and architecture
  from two halves of the images.
  """
  return _turn(_parse_groups(groups), step, total_steps) if groups else 0


def factor(factors: Iterable[tuple[str, float]], name: str) -> float:
  """Returns the factor on the learning rate of a parameter."""
  for pattern, value in factors:
    if re.search(pattern, name):
      return value
  return 1.0


def by_name(params, function):
  """Maps every parameter to `function('backbone/stem/conv/kernel')`."""
  return jax.tree_util.tree_map_with_path(
      lambda path, _: function('/'.join(key.key for key in path)), params
  )


def _direction(where, factors, *, optimizer, weight_decay, decay_on, clip):
  """Returns the transformations up to the learning rate.

  Args:
    where: the options stand in the config, for errors.
    factors: see `create`, as all that follow.
    optimizer: of these parameters.
    weight_decay: of them.
    decay_on: of them.
    clip: of them.
  """
  name, kwargs = specs.parse(
      optimizer, OPTIMIZERS, 'optimizer', given=('weight_decay', 'mask')
  )
  _check_pattern(decay_on, f'{where}.decay_on')

  def decays(params):
    return by_name(params, lambda n: bool(re.search(decay_on, n)))

  def multiply(updates, _):
    if not factors:
      return updates
    values = by_name(updates, lambda name: factor(factors, name))
    return jax.tree.map(jnp.multiply, updates, values)

  return (
      optax.clip_by_global_norm(clip) if clip else optax.identity(),
      OPTIMIZERS[name](weight_decay, decays, **kwargs),
      optax.stateless(multiply),
  )


def _scale(learning_rate):
  """Returns the transformations that multiply by the learning rate."""
  plateau = getattr(learning_rate, 'plateau', None)
  return (
      optax.scale_by_learning_rate(learning_rate),
      *((_scale_by_plateau(plateau),) if plateau else ()),
  )


def _group_rate(learning_rate, group):
  """Returns the learning rate of a group."""
  changed = {
      k: v for k, v in group.options.items() if k in ('base', 'schedule')
  }
  if not changed:
    return learning_rate
  return schedule(**{**learning_rate.arguments, **changed})


def _first_step(group, total_steps):
  """Returns the first step in which a group may move."""
  return round(group.begin * total_steps)


def _turn(groups, step, total_steps):
  """Returns whose turn a step is; see `turn`."""
  first = {}
  for group in groups.values():
    start = _first_step(group, total_steps)
    first[group.turn] = min(start, first.get(group.turn, start))
  now = step % len(first)
  starts = jnp.array([first[i] for i in range(len(first))])
  return jnp.where(step >= starts[now], now, 0)


def _assign(groups, params):
  """Returns the tree of the names of the groups that parameters belong to."""
  rest = next(name for name, group in groups.items() if not group.names)

  def of(parameter):
    finders = [
        name
        for name, group in groups.items()
        if group.names and re.search(group.names, parameter)
    ]
    if len(finders) > 1:
      raise ValueError(
          f'The parameter {parameter} belongs to more than one group of'
          f' config.optim.groups: {", ".join(finders)}. Have the names of only'
          ' one of them find it.'
      )
    return finders[0] if finders else rest

  assigned = by_name(params, of)
  empty = sorted(groups.keys() - set(jax.tree.leaves(assigned)))
  if empty:
    name = empty[0]
    examples = jax.tree.leaves(by_name(params, str))[:5]
    raise ValueError(
        f'config.optim.groups.{name} (names={groups[name].names!r}) has no'
        f' parameter. There are, for example: {", ".join(examples)}.'
    )
  return assigned


def _parse_groups(groups):
  """Returns {name: Group} of what a config has; raises ValueError."""
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
          f"{where} lacks `names`: the regular expression of its parameters' "
          "names, or '' for those that no other group has."
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
        "config.optim.groups: one group has names='', for the parameters that"
        f' no other has; here {len(rest)} have it ({", ".join(rest)}).'
    )
  turns = {group.turn for group in parsed.values()}
  if turns != set(range(len(turns))):
    raise ValueError(
        f'config.optim.groups have the turns {sorted(turns)}; they are counted'
        ' from 0 without a gap.'
    )
  if all(group.begin for group in parsed.values() if group.turn == 0):
    raise ValueError(
        'config.optim.groups: a group of turn 0 has begin=0.0, since it has the'
        ' steps of those that have not begun.'
    )
  return parsed


def _check_pattern(pattern, where):
  """Raises ValueError if a text is no regular expression."""
  try:
    re.compile(pattern)
  except re.error as error:
    raise ValueError(
        f'{where}: {pattern!r} is no regular expression: {error}.'
    ) from error
