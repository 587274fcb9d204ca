"""The step of training, a pure function.

It knows nothing of devices or files; `parallel` compiles it.
"""

from collections.abc import Callable
import functools
from typing import Any

import flax
from flax import linen as nn
from flax.core import tracers
import jax
import jax.numpy as jnp
import optax

from segjax import parallel
from segjax.kernels.cond import cond
from segjax.layers import remat as rematerialisation
from segjax.layers.norm import ONE_BATCH
from segjax.layers.norm import BatchNorm
from segjax.ops import reduce
from segjax.system import System


class TrainState(flax.struct.PyTreeNode):
  """Everything that a step changes, and nothing else.

  The model, the optimiser and the seed are closed over. Randomness and the
  order of the data follow from the seed and `step`.
  """

  step: jax.Array  # Batches seen, []
  params: Any
  mutable: Any  # All other collections of the model, such as batch_stats.
  opt_state: Any
  ema: Any  # Moving average of `params`, or an empty dict.
  skipped: jax.Array  # Steps with a gradient that was not finite, []
  bad_steps: jax.Array  # As many of them in a row; stays at the limit, []

  @property
  def variables(self):
    """What evaluation and prediction apply the model with."""
    return {'params': self.ema or self.params, **self.mutable}


def init_state(variables, tx, *, ema):
  """Returns the state before the first step."""
  mutable, params = flax.core.pop(variables, 'params')
  return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      mutable=mutable,
      opt_state=tx.init(params),
      # A copy: a buffer must not be donated twice.
      ema=jax.tree.map(jnp.copy, params) if ema else {},
      skipped=jnp.zeros((), jnp.int32),
      bad_steps=jnp.zeros((), jnp.int32),
  )


def choose(named, yes, no):
  """Returns those of `yes` where `named('stem/conv/kernel')`, else of `no`."""
  return jax.tree_util.tree_map_with_path(
      lambda path, a, b: a if named('/'.join(k.key for k in path)) else b,
      yes,
      no,
  )


def freeze_norms(frozen):
  """Returns a context in which frozen norms do as in evaluation.

  They normalise with the statistics that they have, and keep them: then a
  frozen layer computes what it did where its weights are from.

  Args:
    frozen: tells of the path of a variable whether its layer is.

  Raises:
    ValueError: within the context, for a frozen batch norm of Flax's.
  """

  def call(next_call, args, kwargs, context):
    module = context.module
    path = '/'.join(module.path)
    if (
        isinstance(module, BatchNorm | nn.BatchNorm)
        and context.method_name == '__call__'
        and frozen(f'{path}/mean')
    ):
      if isinstance(module, nn.BatchNorm):
        raise ValueError(
            f'{path} is to be frozen, and is a flax.linen.BatchNorm; only a'
            ' segjax.layers.norm.BatchNorm can be. Have the model use that, or'
            ' leave the layer out of what is frozen.'
        )
      still = module.clone(parent=None, train=False)
      return still.apply(module.variables, *args, **kwargs)
    return next_call(*args, **kwargs)

  return nn.intercept_methods(call)


def refuse_norms_of_one_value():
  """Returns a context in which a batch norm of one value a channel fails.

  In training such a value is normalised to 0, and the running variance, by
  which evaluation divides, goes to 0 as well. Batch norms are over all devices.

  Raises:
    ValueError: within the context, when the model is traced.
  """

  def call(next_call, args, kwargs, context):
    module = context.module
    if (
        isinstance(module, BatchNorm | nn.BatchNorm)
        and context.method_name == '__call__'
        and args[0].size == args[0].shape[-1]
        and parallel.psum(1) == 1
        and _normalises_by_batch(module, kwargs)
    ):
      path = '/'.join(module.path)
      raise ValueError(
          f'The batch norm {path} sees one value a channel, {args[0].shape}:'
          ' one image, or part of a batch, with features of one pixel. It has'
          ' no variance to learn, and evaluation would divide by 0. Raise'
          ' config.batch_size, or lower config.optim.accumulate, so that a step'
          ' on all devices, divided by config.optim.accumulate, has at least 2'
          ' images; or freeze the norm:'
          f" config.optim.factors = (('^{path}/', 0.0),)."
      )
    return next_call(*args, **kwargs)

  return nn.intercept_methods(call)


def _normalises_by_batch(norm, kwargs):
  if isinstance(norm, BatchNorm):
    return norm.train
  running = kwargs.get('use_running_average', norm.use_running_average)
  return not running


def make_train_step(
    system: System,
    tx: optax.GradientTransformation,
    *,
    seed: int,
    rates: Callable[[jax.Array, Any], dict[str, jax.Array]],
    total_steps: int = 1,
    accumulate: int = 1,
    ema: float = 0.0,
    max_bad_steps: int = 10,
    remat: bool = False,
    frozen: Callable[[str], bool] = lambda name: False,
) -> Callable:
  """Returns `step(state, batch) -> (state, scalars)`.

  A step whose loss or gradient is not finite changes nothing but the counts,
  and its scalars are NaN.

  Args:
    system: what is trained.
    tx: an optax transformation.
    seed: of dropout and of what the model samples.
    rates: learning rates by name, of the updates so far and the optimiser's
      state, for the metrics; see `optim.rates`.
    total_steps: length of the run; a model may read `progress`, the share of
      them that is done.
    accumulate: parts that a device works through its batch in, one by one, to
      need less memory. A loss that is a mean, `ops.reduce.mean_over`, is that
      of the whole batch; one of regions, such as Dice's, is the mean over those
      parts that have a valid pixel.
    ema: decay of the moving average of parameters, 0 for none; it starts
      lower, as (1 + step) / (10 + step), to forget the initial values.
    max_bad_steps: where the count of skipped steps in a row stops.
    remat: whether blocks are computed again in the backward pass, see
      `layers.remat`, to need less memory.
    frozen: tells by name, as in 'stem/norm/scale', which parameters get no
      gradient (`tx` has to leave them alone) and, as in 'stem/norm/mean', which
      norms keep and use the statistics that they have.
  """
  compute = functools.partial(gradient, system, frozen=frozen, remat=remat)
  loss = functools.partial(objective, system, frozen=frozen)

  def step(state, batch):
    grads, scalars, mutable = in_parts(
        compute,
        loss,
        accumulate,
        {'params': state.params, **state.mutable},
        batch,
        **_moment(state, seed, total_steps),
    )
    grads, scalars, mutable = parallel.pmean((grads, scalars, mutable))
    mutable = {  # A mean of equal numbers may differ from them by rounding.
        name: choose(frozen, state.mutable[name], tree)
        for name, tree in mutable.items()
    }
    scalars['grad_norm'] = optax.tree.norm(grads)
    scalars |= rates(state.step - state.skipped, state.opt_state)
    finite = jnp.isfinite(scalars['loss']) & jnp.isfinite(scalars['grad_norm'])
    state = cond(
        finite,
        functools.partial(
            updated, tx, ema=ema, max_bad_steps=max_bad_steps, frozen=frozen
        ),
        functools.partial(skipped, max_bad_steps=max_bad_steps),
        state,
        grads,
        mutable,
    )
    scalars = {k: jnp.where(finite, v, jnp.nan) for k, v in scalars.items()}
    return state.replace(step=state.step + 1), scalars

  return step


def _moment(state, seed, total_steps):
  """Returns the key of a step on this device, and the share of the run done."""
  rng = jax.random.fold_in(jax.random.key(seed), state.step)
  return {
      'rng': parallel.fold_in_device(rng),
      'progress': state.step / total_steps,
  }


def objective(
    system: System, variables, batch, *, rng, progress, frozen, remat=False
):
  """Returns the loss of a batch, and its scalars with the moved state.

  Args:
    system: what is trained.
    variables: of the model.
    batch: fields by name.
    rng: key of the random streams.
    progress: share of the run that is done.
    frozen: see `make_train_step`.
    remat: see `make_train_step`.
  """
  batch = {**batch, 'progress': progress}
  # What needs no gradient costs no time for it.
  params = variables['params']
  params = choose(frozen, jax.lax.stop_gradient(params), params)
  with (
      freeze_norms(frozen),
      refuse_norms_of_one_value(),
      rematerialisation.rematerialized(remat),
  ):
    out, mutable = system.apply(
        {**variables, 'params': params}, batch, train=True, rng=rng
    )
  loss, parts = system.loss(out, batch, jax.random.fold_in(rng, 2))
  return loss, ({'loss': loss, **parts}, mutable)


def make_statistics_step(
    system: System,
    *,
    seed: int,
    total_steps: int = 1,
    frozen: Callable[[str], bool] = lambda name: False,
) -> Callable:
  """Returns `step(state, batch) -> (state, changed)`, which trains nothing.

  It runs the model as in training, with the parameters of evaluation, and
  returns in `changed` the statistics that batch norms have of this batch alone;
  `layers.norm.precise_statistics` averages them. The state stays as it is.

  Args:
    system: the system whose model is run.
    seed: of dropout and of what the model samples.
    total_steps: length of the run.
    frozen: see `make_train_step`.
  """

  def step(state, batch):
    variables = state.variables
    moment = _moment(state, seed, total_steps)
    with freeze_norms(frozen):
      _, changed = system.apply(
          {**variables, ONE_BATCH: variables['batch_stats']},
          {**batch, 'progress': moment['progress']},
          train=True,
          rng=moment['rng'],
      )
    return state, {ONE_BATCH: parallel.pmean(changed[ONE_BATCH])}

  return step


def make_search_step(
    system: System,
    *,
    seed: int,
    total_steps: int = 1,
    accumulate: int = 1,
    frozen: Callable[[str], bool] = lambda name: False,
) -> Callable:
  """Returns `step(state, batch) -> (state, found)`, which trains nothing.

  It computes loss and gradient as the step of training does. `found` has an
  entry for the outputs of each layer, each part of the loss, and the gradient
  of each parameter: above 0 if any value is not finite. Names begin with a
  number, in the order of computation.

  Args:
    system: what is trained.
    seed: see `make_train_step`, as for the others.
    total_steps: length of the run.
    accumulate: parts of a batch.
    frozen: tells which parameters get no gradient.
  """
  loss = functools.partial(objective, system, frozen=frozen)

  def compute(variables, batch, **options):
    def watched(params):
      found = {}
      with _watch_outputs(found):
        value, (scalars, mutable) = loss(
            {**variables, 'params': params}, batch, **options
        )
      for name, part in scalars.items():
        _note(found, f'the loss, {name}', part)
      return value, (found, mutable)

    grads, (found, mutable) = jax.grad(watched, has_aux=True)(
        variables['params']
    )
    for path, grad in jax.tree.leaves_with_path(grads):
      name = '/'.join(key.key for key in path)
      _note(found, f'the gradient of {name}', grad)
    _note(found, 'the norm of the gradient', optax.tree.norm(grads))
    return grads, found, mutable

  def step(state, batch):
    variables = {'params': state.params, **state.mutable}
    moment = _moment(state, seed, total_steps)
    _, found, _ = in_parts(
        compute, loss, accumulate, variables, batch, **moment
    )
    return state, parallel.pmean(found)

  return step


def _watch_outputs(found):
  """Returns a context that notes of each layer whether its output is finite.

  Layers within a loop of XLA are left out: their outputs are values of each
  round, not of the step.
  """
  outside = tracers.current_trace()

  def call(next_call, args, kwargs, context):
    out = next_call(*args, **kwargs)
    looped = tracers.current_trace() != outside
    if context.method_name == '__call__' and not looped:
      name = '/'.join(context.module.path) or 'the model'
      _note(found, f'the output of {name}', out)
    return out

  return nn.intercept_methods(call)


def _note(found, name, values):
  """Adds to `found` the share of arrays with values that are not finite."""
  bad = [
      ~jnp.isfinite(x).all()
      for x in jax.tree.leaves(values)
      if jnp.issubdtype(x.dtype, jnp.inexact)
  ]
  if bad:
    found[f'{len(found):06} {name}'] = jnp.stack(bad).mean(dtype=jnp.float32)


def gradient(system: System, variables, batch, **options):
  """Returns the gradient of a batch, its scalars, and the moved state.

  Args:
    system: what is trained.
    variables: of the model.
    batch: fields by name.
    **options: of `objective`.
  """

  def loss(params):
    return objective(system, {**variables, 'params': params}, batch, **options)

  grads, (scalars, mutable) = jax.grad(loss, has_aux=True)(variables['params'])
  return grads, scalars, mutable


def in_parts(compute, loss, count, variables, batch, *, rng, **more):
  """Returns what a batch gives, computed in parts one after the other.

  A first pass over the parts records what their means divide by. Where that is
  known from the labels alone, XLA leaves the model out of it.

  Args:
    compute: `compute(variables, batch, rng=..., ...)` with the gradient, the
      scalars, and the moved state of a part, with which the next one begins.
    loss: `loss(variables, batch, rng=..., ...)`, whose means are those of
      `compute`.
    count: of the parts.
    variables: of the model.
    batch: fields by name, [B, ...] each.
    rng: key of the random streams; each part has its own.
    **more: for both functions.
  """
  if count == 1:
    return compute(variables, batch, rng=rng, **more)
  # Every n-th image: a part is then made of images of all devices, and of the
  # same ones, under jit as under pmap.
  parts = jax.tree.map(
      lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), batch
  )

  def counts(indexed):
    index, batch = indexed
    with reduce.recorded_counts(count) as recorded:
      loss(variables, batch, rng=jax.random.fold_in(rng, index), **more)
    return tuple(jax.lax.stop_gradient(recorded))

  indices = jnp.arange(count)
  divisors = [x.mean(0) for x in jax.lax.map(counts, (indices, parts))]

  def part(mutable, indexed):
    index, batch = indexed
    with reduce.with_counts(count, divisors):
      grads, scalars, mutable = compute(
          {**variables, **mutable},
          batch,
          rng=jax.random.fold_in(rng, index),
          **more,
      )
    return mutable, (grads, scalars)

  mutable = {k: v for k, v in variables.items() if k != 'params'}
  mutable, sums = jax.lax.scan(part, mutable, (indices, parts))
  grads, scalars = jax.tree.map(lambda x: x.mean(0), sums)
  return grads, scalars, mutable


def updated(tx, state, grads, mutable, *, ema, max_bad_steps, frozen):
  """Returns the state after an update by a gradient."""
  updates, opt_state = optax.with_extra_args_support(tx).update(
      grads, state.opt_state, state.params, step=state.step
  )
  params = optax.apply_updates(state.params, updates)
  decay = jnp.minimum(ema, (1 + state.step) / (10 + state.step))
  average = state.ema and optax.incremental_update(params, state.ema, 1 - decay)
  # The average of what is frozen is that itself, without rounding.
  average = state.ema and choose(frozen, params, average)
  return state.replace(
      params=params,
      mutable=mutable,
      opt_state=opt_state,
      ema=average,
      bad_steps=jnp.where(state.bad_steps < max_bad_steps, 0, state.bad_steps),
  )


def skipped(state, grads, mutable, *, max_bad_steps):
  """Returns the state after a step that could not be taken."""
  del grads, mutable
  return state.replace(
      skipped=state.skipped + 1,
      bad_steps=jnp.minimum(state.bad_steps + 1, max_bad_steps),
  )
