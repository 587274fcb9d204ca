import dataclasses
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from segjax import parallel
from segjax import steps
from segjax import system as systems
from segjax.layers import norm as norms
from segjax.layers.conv import ConvNormAct
from segjax.layers.head import classifier
from segjax.losses.cross_entropy import cross_entropy
from tests.systems import system_of

CLASSES = 3


class Net(nn.Module):
  dropout: float = 0.0

  @nn.compact
  def __call__(self, image, *, train=False):
    x = ConvNormAct(8, name='conv')(image, train)
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    return {'logits': classifier(CLASSES)(x), 'aux': {}}


def make_step(model=None, tx=None, loss=None, dtype='float32', **options):
  system = system_of(model or Net(), CLASSES, dtype=dtype)
  if loss:
    system = dataclasses.replace(system, loss=loss)
  options = {
      'seed': 0,
      'rates': lambda step, opt_state: {'learning_rate': 1.0 + 0 * step},
      **options,
  }
  return steps.make_train_step(system, tx or optax.sgd(1.0), **options)


def loss_fn(out, batch, rng):
  return system_of(Net(), CLASSES).loss(out, batch, rng)


def make_batch(seed, count=4):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, CLASSES, (count, 6, 7)).astype(np.uint8)
  labels[:, :2] = 255
  image = rng.normal(size=(count, 6, 7, 3)).astype(np.float32)
  return {'image': image, 'label': labels}


def spoilt(batch):
  image = batch['image'].copy()
  image[0, 0, 0, 0] = np.nan
  return {**batch, 'image': image}


@functools.cache
def fresh_variables(seed):
  return system_of(Net(), CLASSES).init(seed, (4, 6, 7, 3))


def make_state(tx=None, ema=False):
  return steps.init_state(fresh_variables(0), tx or optax.sgd(1.0), ema=ema)


def assert_equal(tree, expected):
  jax.tree.map(np.testing.assert_array_equal, tree, expected)


def assert_close(tree, expected):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
      tree,
      expected,
  )


@pytest.fixture(scope='module')
def plain():
  """A step of gradient descent, with a rate of 1."""
  return jax.jit(make_step())


@pytest.fixture(scope='module')
def robust():
  """A step with all that has a memory: momentum, averages, counts."""
  tx = optax.adam(1e-2)
  step = jax.jit(make_step(tx=tx, ema=0.9, max_bad_steps=2))
  return step, make_state(tx, ema=True)


def test_a_step_descends_the_gradient_of_the_loss(plain):
  state, batch = make_state(), make_batch(0)

  def loss(params):
    out, _ = Net().apply(
        {'params': params, **state.mutable},
        batch['image'],
        train=True,
        mutable='batch_stats',
    )
    return cross_entropy(out['logits'], batch['label'])

  value, gradient = jax.jit(jax.value_and_grad(loss))(state.params)
  after, scalars = plain(state, batch)
  assert_close(after.params, jax.tree.map(jnp.subtract, state.params, gradient))
  np.testing.assert_allclose(scalars['loss'], value, rtol=1e-6)
  np.testing.assert_allclose(scalars['cross_entropy'], value, rtol=1e-6)
  np.testing.assert_allclose(
      scalars['grad_norm'], optax.tree.norm(gradient), rtol=1e-5
  )
  assert after.step == 1
  assert after.skipped == after.bad_steps == 0


def test_the_learning_rate_is_reported_by_steps_that_counted():
  step = jax.jit(
      make_step(rates=lambda step, _: {'learning_rate': 10.0 + step})
  )
  state, scalars = step(make_state(), make_batch(0))
  assert scalars['learning_rate'] == 10
  state, _ = step(state, spoilt(make_batch(1)))
  state, scalars = step(state, make_batch(2))
  assert scalars['learning_rate'] == 11


def test_statistics_move_by_a_tenth_towards_those_of_the_batch(plain):
  state, batch = make_state(), make_batch(0)
  kernel = state.params['conv']['conv']['kernel']
  x = jax.lax.conv_general_dilated(
      batch['image'],
      kernel,
      (1, 1),
      ((1, 1), (1, 1)),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  after, _ = plain(state, batch)
  statistics = after.mutable['batch_stats']['conv']['norm']
  expected = {
      'mean': 0.1 * x.mean((0, 1, 2)),
      'var': 0.9 + 0.1 * x.var((0, 1, 2)),
  }
  assert_close(statistics, expected)


def test_a_step_that_is_not_finite_changes_nothing_but_counts(robust):
  step, state = robust
  state, _ = step(state, make_batch(0))
  after, scalars = step(state, spoilt(make_batch(1)))
  assert after.step == state.step + 1
  assert after.skipped == state.skipped + 1
  assert after.bad_steps == state.bad_steps + 1
  assert_equal(
      after.replace(
          step=state.step, skipped=state.skipped, bad_steps=state.bad_steps
      ),
      state,
  )
  assert all(np.isnan(value) for value in scalars.values())


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is():
  def root(out, batch, rng):
    del batch, rng
    return jnp.sqrt(jnp.square(0 * out['logits']).sum()), {}

  state = make_state()
  after, scalars = jax.jit(make_step(loss=root))(state, make_batch(0))
  assert after.skipped == 1
  assert np.isnan(scalars['loss'])
  assert_equal(after.params, state.params)


def test_a_good_step_ends_a_row_of_bad_ones(robust):
  step, state = robust
  state, _ = step(state, spoilt(make_batch(0)))
  state, _ = step(state, make_batch(1))
  assert state.bad_steps == 0
  assert state.skipped == 1


def test_the_count_of_bad_steps_in_a_row_stays_at_its_limit(robust):
  step, state = robust
  counts = []
  for bad in (True, True, True, False, False, True):
    batch = make_batch(0)
    state, _ = step(state, spoilt(batch) if bad else batch)
    counts.append(int(state.bad_steps))
  assert counts == [1, 2, 2, 2, 2, 2]
  assert state.skipped == 4


def test_the_average_forgets_the_first_parameters_fast(robust):
  step, state = robust
  average = state.params
  for i, decay in enumerate((0.1, 2 / 11, 0.25)):
    state, _ = step(state, make_batch(i))
    average = jax.tree.map(
        lambda a, p, d=decay: d * a + (1 - d) * p, average, state.params
    )
    assert_close(state.ema, average)


def test_the_average_ends_with_the_decay_given(robust):
  step, state = robust
  state = state.replace(step=jnp.int32(1000))
  after, _ = step(state, make_batch(0))
  expected = jax.tree.map(
      lambda a, p: 0.9 * a + 0.1 * p, state.ema, after.params
  )
  assert_close(after.ema, expected)


def test_evaluation_sees_the_average_if_there_is_one(robust):
  _, averaged = robust
  averaged = averaged.replace(ema=jax.tree.map(jnp.zeros_like, averaged.ema))
  assert_equal(averaged.variables['params'], averaged.ema)
  plain = make_state()
  assert_equal(plain.variables['params'], plain.params)
  assert plain.variables['batch_stats'] == plain.mutable['batch_stats']


def test_accumulation_takes_the_mean_of_the_gradients_of_the_parts(plain):
  state, batch = make_state(), make_batch(0)
  first, second = (
      {k: v[s] for k, v in batch.items()} for s in ([0, 2], [1, 3])
  )
  one, reported = plain(state, first)
  other, reported_too = plain(one.replace(params=state.params), second)
  both, scalars = jax.jit(make_step(accumulate=2))(state, batch)
  assert_close(
      both.params,
      jax.tree.map(lambda a, b: (a + b) / 2, one.params, other.params),
  )
  assert_close(both.mutable, other.mutable)
  np.testing.assert_allclose(
      scalars['loss'], (reported['loss'] + reported_too['loss']) / 2, rtol=1e-5
  )
  assert both.step == 1


def test_bfloat16_keeps_float32_parameters_statistics_and_losses(plain):
  state = make_state()
  after, scalars = jax.jit(make_step(dtype='bfloat16'))(state, make_batch(0))
  types = jax.tree.map(lambda x: x.dtype, (state.params, state.mutable))
  assert jax.tree.map(lambda x: x.dtype, (after.params, after.mutable)) == types
  assert scalars['loss'].dtype == jnp.float32
  expected, reference = plain(state, make_batch(0))
  assert scalars['loss'] != reference['loss']
  np.testing.assert_allclose(scalars['loss'], reference['loss'], rtol=2e-2)
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, atol=2e-2),
      (after.params, after.mutable),
      (expected.params, expected.mutable),
  )


@pytest.mark.parametrize('train', [False, True])
def test_bfloat16_is_the_type_inside_and_float32_that_of_outputs(train):
  seen = []

  class Probe(nn.Module):

    @nn.compact
    def __call__(self, image, *, train=False):
      x = ConvNormAct(4, name='conv')(image, train)
      seen.extend([image.dtype, x.dtype])
      return {'logits': x, 'aux': {'inner': x}}

  image = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.float32)
  variables = jax.eval_shape(Probe().init, jax.random.key(0), image)
  seen.clear()
  system = system_of(Probe(), 4, dtype='bfloat16')
  forward = functools.partial(system.apply, train=train)
  batch, rng = {'image': image}, jax.random.key(0)
  out, _ = jax.eval_shape(forward, variables, batch, rng=rng)
  assert seen == [jnp.bfloat16, jnp.bfloat16]
  assert {x.dtype for x in jax.tree.leaves(out)} == {jnp.dtype('float32')}


def test_dropout_is_a_function_of_seed_and_step():
  state, batch = make_state(), make_batch(0)
  step, other = (jax.jit(make_step(Net(0.5), seed=seed)) for seed in (0, 1))
  later = state.replace(step=jnp.int32(1))
  _, first = step(state, batch)
  _, again = step(state, batch)
  assert_equal(again, first)
  assert step(later, batch)[1]['loss'] != first['loss']
  assert other(state, batch)[1]['loss'] != first['loss']


def test_dropout_differs_between_the_parts_of_a_batch():
  half = make_batch(0, count=2)
  batch = {k: np.repeat(v, 2, axis=0) for k, v in half.items()}

  def with_square(out, batch, rng):
    loss, _ = loss_fn(out, batch, rng)
    return loss, {'square': loss**2}

  step = jax.jit(make_step(Net(0.5), loss=with_square, accumulate=2))
  _, scalars = step(make_state(), batch)
  # The mean of squares is the square of the mean only where all are equal.
  assert scalars['square'] - scalars['loss'] ** 2 > 1e-5


def test_fresh_variables_are_a_function_of_the_seed():
  one, other = fresh_variables(0), fresh_variables(1)
  assert_equal(system_of(Net(), CLASSES).init(0, (8, 6, 7, 3)), one)
  kernels = [v['params']['conv']['conv']['kernel'] for v in (one, other)]
  assert (kernels[0] != kernels[1]).all()


class Initializers(nn.Module):
  """Layers whose variables are drawn in all ways that models draw theirs."""

  @nn.compact
  def __call__(self, image, *, train=False):
    x = ConvNormAct(8, name='conv')(image, train)
    for name, init in (
        ('normal', nn.initializers.normal(0.01)),
        ('uniform', nn.initializers.xavier_uniform()),
    ):
      x = nn.Conv(16, (3, 3), kernel_init=init, name=name)(x)
    return {'logits': classifier(CLASSES)(x), 'aux': {}}


def test_fresh_variables_are_those_of_a_program_in_full(compiled_in_full):
  image = jnp.zeros((1, 6, 7, 3))
  expected = jax.jit(Initializers().init)(jax.random.key(3), image)
  given = system_of(Initializers(), CLASSES).init(3, (4, 6, 7, 3))
  assert_equal(given, expected)


def test_fresh_variables_have_shapes_before_they_are_drawn():
  shapes = system_of(Net(), CLASSES).shapes((4, 6, 7, 3))
  assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(
      jnp.shape, fresh_variables(0)
  )


class Pointwise(nn.Module):
  """A model without a norm, so that parts know nothing of each other."""

  @nn.compact
  def __call__(self, image, *, train=False):
    x = nn.Dense(4, name='hidden')(image)
    return {
        'logits': classifier(CLASSES)(nn.tanh(x)),
        'aux': {'head': classifier(CLASSES, name='head')(x)},
        'presence': nn.Dense(CLASSES, name='presence')(x.mean((1, 2))),
    }


MEANS = (
    'cross_entropy(label_smoothing=0.1) + 0.5 * focal',
    "cross_entropy(divide_by='all') + binary_cross_entropy + binary_focal",
    "cross_entropy(divide_by='nothing')",
    # It keeps all pixels; which ones it keeps is a matter of each part.
    'ohem_cross_entropy(threshold=1.0, min_kept=1)',
    'dice(per_image=True) + dice_mmseg + lovasz_softmax(per_image=True)',
)


def unequal_batch():
  """Returns 4 images: in the second part of 2 few pixels count, or none."""
  batch = make_batch(1)
  batch['label'][1, 3:] = 255
  batch['label'][3] = 255
  return batch


def system_of_means(loss):
  takes_weights = 'cross_entropy' in loss
  return systems.build(
      'encnet',
      Pointwise(),
      system_of(Net(), CLASSES).label_map,
      loss=loss,
      class_weights=np.float32([1.0, 5.0, 0.3]) if takes_weights else None,
      aux=0.4,
  )


@pytest.mark.parametrize('loss', MEANS)
def test_parts_with_unequal_ignored_pixels_are_worth_what_they_count(loss):
  batch, system = unequal_batch(), system_of_means(loss)
  variables = system.init(0, batch['image'].shape)
  options = {'rng': jax.random.key(0), 'progress': 0.0}
  still = dict(frozen=lambda name: False)
  compute = functools.partial(steps.gradient, system, **still)
  loss = functools.partial(steps.objective, system, **still)
  (grads, scalars, _), (expected, whole, _) = (
      jax.jit(functools.partial(steps.in_parts, compute, loss, count))(
          variables, batch, **options
      )
      for count in (2, 1)
  )
  assert optax.tree.norm(expected) > 0.01
  jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
      (grads, scalars),
      (expected, whole),
  )


def test_parts_on_two_devices_are_worth_what_they_count():
  batch, system = unequal_batch(), system_of_means('cross_entropy')
  variables = system.init(0, batch['image'].shape)
  state = steps.init_state(variables, optax.sgd(1.0), ema=False)

  def updated(accumulate):
    step = steps.make_train_step(
        system,
        optax.sgd(1.0),
        seed=0,
        rates=lambda step, opt_state: {},
        accumulate=accumulate,
    )
    mapped = jax.pmap(
        step,
        parallel.AXIS,
        in_axes=(None, 0),
        out_axes=None,
        devices=jax.devices()[:2],
    )
    split = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), batch)
    return mapped(state, split)[0].params

  jax.tree.map(
      functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
      updated(2),
      updated(1),
  )


def test_the_first_pass_over_parts_leaves_the_model_out():
  state, batch = make_state(), make_batch(1)

  def products(accumulate):
    step = jax.jit(make_step(accumulate=accumulate))
    return step.lower(state, batch).compile().as_text().count(' dot(')

  assert products(2) == products(1) > 0


class Pooled(nn.Module):
  norm: type = norms.BatchNorm

  @nn.compact
  def __call__(self, image, *, train=False):
    mean = image.mean((1, 2), keepdims=True)
    if self.norm is nn.BatchNorm:
      x = nn.BatchNorm(not train, name='pooled')(mean)
    else:
      x = self.norm(train, name='pooled')(mean)
    return {'logits': classifier(CLASSES)(image + x), 'aux': {}}


@pytest.mark.parametrize('norm', [norms.BatchNorm, nn.BatchNorm])
@pytest.mark.parametrize(('count', 'accumulate'), [(1, 1), (4, 4)])
def test_a_norm_that_sees_one_value_is_refused(norm, count, accumulate):
  model = Pooled(norm)
  batch = make_batch(0, count)
  variables = system_of(model, CLASSES).init(0, batch['image'].shape)
  state = steps.init_state(variables, optax.sgd(1.0), ema=False)
  step = make_step(model, accumulate=accumulate)
  with pytest.raises(ValueError, match='norm pooled sees one value') as error:
    jax.eval_shape(step, state, batch)
  assert 'config.batch_size' in str(error.value)
  assert 'config.optim.accumulate' in str(error.value)

  # Two values have a variance.
  jax.eval_shape(make_step(model, accumulate=1), state, make_batch(0, 2))


def test_a_frozen_norm_may_see_one_value():
  model = Pooled()
  batch = make_batch(0, 1)
  variables = system_of(model, CLASSES).init(0, batch['image'].shape)
  state = steps.init_state(variables, optax.sgd(1.0), ema=False)
  step = make_step(model, frozen=lambda name: name.startswith('pooled/'))
  jax.eval_shape(step, state, batch)


class Looped(nn.Module):
  """Applies one convolution twice, in a loop of XLA."""

  @nn.compact
  def __call__(self, image, *, train=False):
    x = nn.Dense(8, name='first')(image)
    loop = nn.scan(
        lambda conv, x, _: (conv(x), None),
        variable_broadcast='params',
        split_rngs={'params': False},
        length=2,
    )
    x, _ = loop(nn.Dense(8, name='looped'), x, None)
    return {'logits': classifier(CLASSES)(x), 'aux': {}}


def test_a_search_looks_at_layers_around_a_loop():
  system = system_of(Looped(), CLASSES)
  state = steps.init_state(
      system.init(0, (4, 6, 7, 3)), optax.sgd(1.0), ema=False
  )
  step = steps.make_search_step(system, seed=0)
  _, found = jax.eval_shape(step, state, make_batch(0))
  names = [name[7:] for name in found]
  assert 'the output of first' in names
  assert 'the output of classifier' in names
  assert 'the output of looped' not in names
  assert 'the gradient of looped/kernel' in names
