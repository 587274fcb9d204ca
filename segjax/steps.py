"""Pure functions: the forward pass and the step of training.

They know nothing of devices or files; `parallel` compiles them.
"""

from typing import Any

import flax
from flax import linen as nn
import jax
import jax.numpy as jnp
import optax

from segjax import parallel
from segjax.kernels.cond import cond
from segjax.layers import remat as rematerialisation
from segjax.layers.norm import BatchNorm


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


def inputs(model, train=False):
  """Returns the names of what a model reads of a batch.

  Attributes of its class say it, if it is more than the image: `inputs` and, if
  training takes other ones, `train_inputs`.
  """
  names = getattr(model, 'inputs', ('image',))
  return getattr(model, 'train_inputs', names) if train else names


def example(model, image_shape):
  """Returns the inputs of a model for images [B, H, W, C], all zero."""
  zeros = {
      'image': jnp.zeros(image_shape, jnp.float32),
      'regions': jnp.zeros((*image_shape[:3], 1), jnp.uint8),
      'categories': jnp.zeros((image_shape[0], 1), jnp.uint8),
  }
  return [zeros[name] for name in inputs(model)]


def init_variables(model, seed, image_shape):
  """Returns fresh variables of a model for images [1, H, W, C]."""
  given = jax.random.key(seed), *example(model, (1, *image_shape[1:]))
  if jax.default_backend() != 'cpu' or isinstance(given[0], jax.core.Tracer):
    return jax.jit(model.init)(*given)
  # The program runs once, and XLA for CPUs takes three times as long to
  # optimise it in full as on its first level, which rounds in the same way;
  # level 0 does not.
  options = {'xla_backend_optimization_level': 1}
  return jax.jit(model.init, compiler_options=options)(*given)


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


def forward(model, variables, batch, *, dtype, train=False, rng=None):
  """Applies a model in `dtype`; statistics and outputs stay float32.

  Args:
    model: a Flax module.
    variables: its variables.
    batch: dict with the image [B, H, W, C] and what else the model reads.
    dtype: of activations, 'float32' or 'bfloat16'.
    train: whether norms take their statistics from the batch.
    rng: key of dropout; with one, systems that sample drop when they predict.

  Returns:
    The outputs, and the collections that training changed.
  """
  params = variables['params']
  if dtype != 'float32':
    params = jax.tree.map(lambda x: x.astype(dtype), params)
  batch = {**batch, 'image': batch['image'].astype(dtype)}
  out, mutable = model.apply(
      {**variables, 'params': params},
      *(batch[name] for name in inputs(model, train)),
      train=train,
      rngs=None if rng is None else {'dropout': rng},
      mutable=[name for name in variables if name != 'params'] if train else [],
  )
  return jax.tree.map(lambda x: x.astype(jnp.float32), out), mutable


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


def make_train_step(
    model,
    loss_fn,
    tx,
    *,
    seed,
    dtype='float32',
    learning_rate,
    accumulate=1,
    ema=0.0,
    max_bad_steps=10,
    remat=False,
    frozen=lambda name: False,
):
  """Returns `step(state, batch) -> (state, scalars)`.

  A step whose loss or gradient is not finite changes nothing but the counts,
  and its scalars are NaN.

  Args:
    model: a Flax module.
    loss_fn: `loss_fn(out, batch)` with the loss and {name: scalar}.
    tx: an optax transformation.
    seed: of dropout.
    dtype: type of activations, 'float32' or 'bfloat16'.
    learning_rate: function of the step, for the metrics.
    accumulate: parts that a device works through its batch in, one by one, to
      need less memory. The gradient is the mean over the parts.
    ema: decay of the moving average of parameters, 0 for none; it starts
      lower, as (1 + step) / (10 + step), to forget the initial values.
    remat: whether blocks are computed again in the backward pass, see
      `layers.remat`, to need less memory.
    max_bad_steps: where the count of skipped steps in a row stops.
    frozen: tells by name, as in 'stem/norm/scale', which parameters get no
      gradient (`tx` has to leave them alone) and, as in 'stem/norm/mean', which
      norms keep and use the statistics that they have.
  """

  def gradients(variables, batch, rng):
    def objective(params):
      # What needs no gradient costs no time for it.
      params = choose(frozen, jax.lax.stop_gradient(params), params)
      with freeze_norms(frozen), rematerialisation.rematerialized(remat):
        out, mutable = forward(
            model,
            {**variables, 'params': params},
            batch,
            dtype=dtype,
            train=True,
            rng=rng,
        )
      loss, parts = loss_fn(out, batch)
      return loss, ({'loss': loss, **parts}, mutable)

    grads, (scalars, mutable) = jax.grad(objective, has_aux=True)(
        variables['params']
    )
    return grads, scalars, mutable

  def accumulated(variables, batch, rng):
    if accumulate == 1:
      return gradients(variables, batch, rng)
    # Every n-th image: a part is then made of images of all devices, and of the
    # same ones, under jit as under pmap.
    parts = jax.tree.map(
        lambda x: x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1), batch
    )

    def part(mutable, indexed):
      index, batch = indexed
      grads, scalars, mutable = gradients(
          {**variables, **mutable}, batch, jax.random.fold_in(rng, index)
      )
      return mutable, (grads, scalars)

    mutable = {k: v for k, v in variables.items() if k != 'params'}
    mutable, sums = jax.lax.scan(part, mutable, (jnp.arange(accumulate), parts))
    grads, scalars = jax.tree.map(lambda x: x.mean(0), sums)
    return grads, scalars, mutable

  def updated(state, grads, mutable):
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    decay = jnp.minimum(ema, (1 + state.step) / (10 + state.step))
    average = state.ema and optax.incremental_update(
        params, state.ema, 1 - decay
    )
    # The average of what is frozen is that itself, without rounding.
    average = state.ema and choose(frozen, params, average)
    return state.replace(
        params=params,
        mutable=mutable,
        opt_state=opt_state,
        ema=average,
        bad_steps=jnp.where(
            state.bad_steps < max_bad_steps, 0, state.bad_steps
        ),
    )

  def skipped(state, grads, mutable):
    del grads, mutable
    return state.replace(
        skipped=state.skipped + 1,
        bad_steps=jnp.minimum(state.bad_steps + 1, max_bad_steps),
    )

  def step(state, batch):
    rng = jax.random.fold_in(jax.random.key(seed), state.step)
    grads, scalars, mutable = accumulated(
        {'params': state.params, **state.mutable},
        batch,
        parallel.fold_in_device(rng),
    )
    grads, scalars, mutable = parallel.pmean((grads, scalars, mutable))
    mutable = {  # A mean of equal numbers may differ from them by rounding.
        name: choose(frozen, state.mutable[name], tree)
        for name, tree in mutable.items()
    }
    scalars['grad_norm'] = optax.tree.norm(grads)
    scalars['learning_rate'] = learning_rate(state.step - state.skipped)
    finite = jnp.isfinite(scalars['loss']) & jnp.isfinite(scalars['grad_norm'])
    state = cond(finite, updated, skipped, state, grads, mutable)
    scalars = {k: jnp.where(finite, v, jnp.nan) for k, v in scalars.items()}
    return state.replace(step=state.step + 1), scalars

  return step
