import itertools
import math
import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from configs import eomt
from configs import mask2former
from segjax import backbones
from segjax import experiment
from segjax import optim

TOTAL = 100
# Schedules that have arguments without a default.
NEEDED = {'exponential': 'exponential(factor=0.5, every=3)'}


@pytest.fixture
def config():
  """SGD with a constant rate of 0.5; no decay, factors or clipping."""
  config = common.base('camvid')
  config.lr.schedule = 'constant'
  config.lr.base = 0.5
  config.optim.weight_decay = 0.0
  return config


@pytest.fixture
def params():
  rng = np.random.default_rng(0)
  shapes = {
      'backbone': {'conv': {'kernel': (3, 2)}},
      'classifier': {'kernel': (4,), 'bias': (2,)},
  }
  return jax.tree.map(
      lambda shape: rng.normal(size=shape).astype(np.float32),
      shapes,
      is_leaf=lambda x: isinstance(x, tuple),
  )


def rate_of(config, total=TOTAL):
  return optim.schedule(total, **config.lr)


def create(config, layers=()):
  options = {
      name: config.optim[name]
      for name in ('optimizer', 'weight_decay', 'decay_on', 'factors', 'clip')
  }
  return optim.create(
      rate_of(config),
      **options,
      groups=config.optim.groups,
      layers=layers,
      total_steps=TOTAL,
  )


def rates(config):
  learning_rate = jax.jit(rate_of(config))
  return np.array([learning_rate(jnp.int32(step)) for step in range(TOTAL)])


def trained(config, params, gradients):
  """Parameters after a step for each of the gradients."""
  return list(run(config, params, gradients))[-1]


def run(config, params, gradients):
  """Yields the parameters after each of the gradients."""
  tx = create(config)
  state = tx.init(params)
  update = jax.jit(lambda *args, step: tx.update(*args, step=step))
  for step, gradient in enumerate(gradients):
    updates, state = update(gradient, state, params, step=step)
    params = optax.apply_updates(params, updates)
    yield params


def changes(config, params, gradients):
  after = trained(config, params, gradients)
  return jax.tree.map(np.subtract, after, params)


def assert_close(tree, expected):
  jax.tree.map(
      lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
      tree,
      expected,
  )


def random_like(params, count):
  rng = np.random.default_rng(1)
  return [
      jax.tree.map(
          lambda x: rng.normal(size=x.shape).astype(np.float32), params
      )
      for _ in range(count)
  ]


def test_poly_with_a_floor_is_mmsegmentations(config):
  config.lr.schedule = 'poly(power=0.9, floor=1e-4)'
  lr, expected = 0.5, []
  for step in range(TOTAL):  # The recursion of mmengine's PolyLR.
    if step:
      lr = (lr - 1e-4) * (1 - 1 / (TOTAL - 1 - step + 1)) ** 0.9 + 1e-4
    expected.append(lr)
  np.testing.assert_allclose(rates(config), expected, rtol=1e-4)


@pytest.mark.parametrize('total', [4, 7, 100, 2000, 40_000])
@pytest.mark.parametrize('name', ['poly', 'cosine'])
def test_a_run_of_any_length_ends_at_the_floor(config, name, total):
  config.lr.schedule = f'{name}(floor=1e-4)'
  learning_rate = jax.jit(rate_of(config, total))
  np.testing.assert_allclose(
      learning_rate(jnp.int32(total - 1)), 1e-4, rtol=1e-3
  )


def test_cosine_falls_by_half_a_cosine_to_its_floor(config):
  config.lr.schedule = 'cosine(floor=0.1)'
  angles = np.linspace(0, math.pi, TOTAL)
  expected = 0.1 + 0.4 * (1 + np.cos(angles)) / 2
  np.testing.assert_allclose(rates(config), expected, rtol=1e-4)


def test_steps_multiply_at_fractions_of_the_run(config):
  config.lr.schedule = 'multistep(at=(0.3, 0.75), factor=0.5)'
  expected = np.repeat([0.5, 0.25, 0.125], [30, 45, 25])
  np.testing.assert_allclose(rates(config), expected, rtol=1e-6)
  config.lr.schedule = 'multistep(at=0.3)'
  expected = np.repeat([0.5, 0.05], [30, 70])
  np.testing.assert_allclose(rates(config), expected, rtol=1e-6)


def test_steps_that_fall_together_in_a_short_run_multiply_twice(config):
  config.lr.schedule = 'multistep(at=(0.501, 0.502), factor=0.5)'
  expected = np.repeat([0.5, 0.125], [50, 50])
  np.testing.assert_array_equal(rates(config), expected)


@pytest.mark.parametrize('total', [7, 100, 2000])
@pytest.mark.parametrize(
    'name', ['cosine(floor=1e-3)', 'multistep(at=(0.5, 0.7))', 'constant']
)
def test_schedules_of_optax_are_the_formulas(config, name, total):
  step = np.arange(total)
  cosine = (1 + np.cos(np.pi * step / (total - 1))) / 2
  falls = sum(step >= round(place * total) for place in (0.5, 0.7))
  expected = {
      'cosine': 1e-3 + 0.499 * cosine,
      'multistep': 0.5 * 0.1**falls,
      'constant': np.full(total, 0.5),
  }[name.partition('(')[0]]
  config.lr.schedule = name
  got = jax.jit(jax.vmap(rate_of(config, total)))(step)
  got = np.broadcast_to(got, total)
  # Cosines in float32 are 1e-7 apart, of which little is left near the floor.
  np.testing.assert_allclose(got, expected, rtol=2e-7, atol=5e-8)


@pytest.mark.parametrize('every', [1, 3, 41, 47])
def test_exponential_falls_every_so_many_steps(config, every):
  config.lr.schedule = f'exponential(factor=0.9, every={every})'
  step = np.arange(20 * every)
  got = jax.jit(jax.vmap(rate_of(config)))(step)
  expected = 0.5 * 0.9 ** (step // every)
  np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_constant_stays(config):
  np.testing.assert_array_equal(rates(config), 0.5)


def test_a_warm_up_multiplies_the_schedule_linearly(config):
  config.lr.schedule = 'poly'
  plain = rates(config)
  config.lr.warmup_steps = 10
  warmed = rates(config)
  np.testing.assert_allclose(
      warmed[:10], plain[:10] * np.arange(1, 11) / 10, rtol=1e-6
  )
  np.testing.assert_array_equal(warmed[10:], plain[10:])


def test_a_warm_up_from_a_fraction_is_pytorchs(config):
  config.lr.warmup_steps = 10
  config.lr.warmup_from = 0.2
  warmed = rates(config)  # LinearLR(start_factor=0.2, total_iters=10)
  expected = 0.5 * (0.2 + 0.8 * np.arange(10) / 10)
  np.testing.assert_allclose(warmed[:10], expected, rtol=1e-6)
  np.testing.assert_array_equal(warmed[10:], 0.5)


def test_a_warm_up_from_more_than_the_rate_is_refused(config):
  config.lr.warmup_from = 1.5
  with pytest.raises(ValueError, match='warmup_from=1.5 is a share'):
    rate_of(config)


@pytest.mark.parametrize('name', optim.SCHEDULES)
def test_a_run_of_one_step_has_a_finite_rate(config, name):
  config.lr.schedule = NEEDED.get(name, name)
  assert rate_of(config, 1)(jnp.int32(0)) == 0.5


@pytest.mark.parametrize('nesterov', [False, True])
def test_sgd_is_pytorchs(config, params, nesterov):
  config.optim.optimizer = f'sgd(momentum=0.8, nesterov={nesterov})'
  config.optim.weight_decay = 0.01
  config.lr.schedule = 'poly'
  gradients = random_like(params, 4)
  lr = rates(config)

  def loop(p, *gradients):
    buffer = 0.0
    for step, gradient in enumerate(gradients):
      g = gradient + 0.01 * p
      buffer = 0.8 * buffer + g
      p = p - lr[step] * (g + 0.8 * buffer if nesterov else buffer)
    return p

  expected = jax.tree.map(loop, params, *gradients)
  assert_close(trained(config, params, gradients), expected)


@pytest.mark.parametrize('decoupled', [False, True])
def test_adam_and_adamw_are_pytorchs(config, params, decoupled):
  config.optim.optimizer = 'adamw(b2=0.99)' if decoupled else 'adam(b2=0.99)'
  config.optim.weight_decay = 0.1
  config.lr.schedule = 'poly'
  gradients = random_like(params, 4)
  lr = rates(config)

  def loop(p, *gradients):
    m = v = 0.0
    for step, gradient in enumerate(gradients):
      g = gradient if decoupled else gradient + 0.1 * p
      m = 0.9 * m + 0.1 * g
      v = 0.99 * v + 0.01 * g**2
      mean, variance = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.99 ** (step + 1))
      if decoupled:
        p = p - lr[step] * 0.1 * p
      p = p - lr[step] * mean / (np.sqrt(variance) + 1e-8)
    return p

  expected = jax.tree.map(loop, params, *gradients)
  assert_close(trained(config, params, gradients), expected)


@pytest.mark.parametrize('momentum', [0.0, 0.9])
@pytest.mark.parametrize('initial', [0.0, 1.0])
def test_rmsprop_is_lasagnes_and_tensorflows(config, params, initial, momentum):
  config.optim.optimizer = (
      f'rmsprop(decay=0.8, eps=0.1, initial={initial}, momentum={momentum})'
  )
  config.optim.weight_decay = 0.01
  gradients = random_like(params, 3)

  def loop(p, *gradients):
    squares, last = initial, 0.0
    for gradient in gradients:
      g = gradient + 0.01 * p
      squares = 0.8 * squares + 0.2 * g**2
      last = momentum * last + 0.5 * g / np.sqrt(squares + 0.1)
      p = p - last
    return p

  expected = jax.tree.map(loop, params, *gradients)
  assert_close(trained(config, params, gradients), expected)


@pytest.mark.parametrize('optimizer', ['sgd', 'adamw'])
def test_only_parameters_that_the_expression_finds_decay(
    config, params, optimizer
):
  config.optim.optimizer = optimizer
  config.optim.weight_decay = 0.1
  config.optim.decay_on = 'kernel$'
  zeros = jax.tree.map(np.zeros_like, params)
  expected = jax.tree.map(lambda x: -0.5 * 0.1 * x, params)
  expected['classifier']['bias'] = np.zeros(2)
  assert_close(changes(config, params, [zeros]), expected)


def test_the_first_factor_that_is_found_multiplies_the_rate(config, params):
  config.optim.factors = (('bias', 20.0), ('^classifier/', 10.0))
  ones = jax.tree.map(np.ones_like, params)
  expected = jax.tree.map(lambda x: np.full_like(x, -0.5), params)
  expected['classifier']['kernel'] *= 10
  expected['classifier']['bias'] *= 20
  assert_close(changes(config, params, [ones]), expected)


def test_a_factor_of_zero_freezes(config, params):
  config.optim.optimizer = 'adamw'
  config.optim.weight_decay = 0.1
  config.optim.factors = (('backbone', 0.0),)
  after = trained(config, params, random_like(params, 2))
  np.testing.assert_array_equal(
      after['backbone']['conv']['kernel'], params['backbone']['conv']['kernel']
  )
  assert (after['classifier']['bias'] != params['classifier']['bias']).all()


def test_the_gradient_is_clipped_by_its_norm_before_it_decays(config, params):
  config.optim.clip = 1.0
  config.optim.weight_decay = 0.1
  ones = jax.tree.map(np.ones_like, params)  # 12 of them.
  expected = jax.tree.map(
      lambda x: -0.5 * (1 / math.sqrt(12) + 0.1 * x), params
  )
  assert_close(changes(config, params, [ones]), expected)


def test_a_gradient_below_the_limit_is_not_clipped(config, params):
  config.optim.clip = 5.0
  ones = jax.tree.map(np.ones_like, params)
  expected = jax.tree.map(lambda x: np.full_like(x, -0.5), params)
  assert_close(changes(config, params, [ones]), expected)


def test_parameters_are_found_by_their_path(params):
  assert optim.by_name(params, str.upper) == {
      'backbone': {'conv': {'kernel': 'BACKBONE/CONV/KERNEL'}},
      'classifier': {'kernel': 'CLASSIFIER/KERNEL', 'bias': 'CLASSIFIER/BIAS'},
  }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('polly', "'polly'. Known: constant, cosine, exponential, multistep"),
        ('poly(0.9)', r'It is used as poly\(\*, power=0.9, floor=0.0\)'),
        ('poly(gamma=1)', "'gamma'. It is used as poly"),
        ('poly(base=1)', "'base'. It is used as poly"),
        ('exponential', "missing 2 required .* 'factor' and 'every'"),
        ('exponential(factor=0.5, every=0)', 'must be at least 1'),
        ('plateau(factor=2.0)', 'the factor lies between 0 and 1'),
        ('plateau(patience=0)', 'the patience is at least 1'),
    ],
)
def test_a_schedule_that_is_wrong_is_refused(config, text, message):
  config.lr.schedule = text
  with pytest.raises(ValueError, match=message):
    rate_of(config)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('sdg', "no optimizer 'sdg'. Known: adam, adamw, rmsprop, sgd"),
        ('sgd(0.9)', r'It is used as sgd\(\*, momentum=0.9, nesterov=False\)'),
        ('sgd(mask=1)', "'mask'. It is used as sgd"),
        ('adam(beta=1)', "'beta'. It is used as adam"),
    ],
)
def test_an_optimizer_that_is_wrong_is_refused(config, text, message):
  config.optim.optimizer = text
  with pytest.raises(ValueError, match=message):
    create(config)


@pytest.mark.parametrize('field', ['decay_on', 'factors'])
def test_a_wrong_regular_expression_is_refused(config, field):
  config.optim[field] = '(' if field == 'decay_on' else (('(', 1.0),)
  with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
    create(config)


def test_without_groups_the_state_is_that_of_older_checkpoints(config, params):
  config.optim.factors = (('bias', 2.0),)
  state = flax.serialization.to_state_dict(create(config).init(params))
  paths = {
      '/'.join(str(key.key) for key in path)
      for path, _ in jax.tree.leaves_with_path(state)
  }
  names = jax.tree.leaves(optim.by_name(params, lambda name: name))
  assert paths == {'3/count', *(f'1/1/trace/{name}' for name in names)}


def test_the_rate_falls_when_scores_stop_rising(config, params):
  config.lr.schedule = 'plateau(factor=0.1, patience=2, threshold=0.01)'
  tx = create(config)
  reported = optim.rates(rate_of(config))
  state = tx.init(params)
  ones = jax.tree.map(np.ones_like, params)
  seen = []
  # The second and the fourth are no more than the threshold above the best.
  for score in (0.5, 0.505, 0.6, 0.605, 0.1, np.nan, 0.2, 0.7, 0.6):
    state = optim.observe(state, score)
    updates, _ = tx.update(ones, state, params)
    rate = reported(jnp.int32(0), state)['learning_rate']
    np.testing.assert_array_equal(updates['classifier']['bias'], -rate)
    seen.append(float(rate))
  expected = np.repeat([0.5, 0.05, 0.005], [4, 2, 3])
  np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_what_scores_did_is_part_of_what_is_saved(config, params):
  config.lr.schedule = 'plateau(patience=2)'
  config.optim.groups = GROUPS
  tx = create(config)
  observed = optim.observe(optim.observe(tx.init(params), 0.5), 0.4)
  saved = flax.serialization.to_state_dict(jax.device_get(observed))
  resumed = flax.serialization.from_state_dict(tx.init(params), saved)
  resumed = optim.observe(resumed, 0.3)
  assert jax.tree.structure(resumed) == jax.tree.structure(tx.init(params))
  rates = optim.rates(rate_of(config), GROUPS)(jnp.int32(0), resumed)
  # The other group has the schedule 'constant'.
  assert rates == {
      'learning_rate': pytest.approx(0.05),
      'learning_rate_last': pytest.approx(0.25),
  }


def test_scores_do_nothing_to_other_schedules(config, params):
  state = create(config).init(params)
  jax.tree.map(np.testing.assert_array_equal, optim.observe(state, 0.5), state)


# The second takes every other step, from the third on.
GROUPS = {
    'weights': dict(names='', turn=0),
    'last': dict(
        names='^classifier/',
        optimizer='adam(b1=0.5)',
        base=0.25,
        schedule='constant',
        weight_decay=0.1,
        decay_on='kernel',
        clip=1.0,
        turn=1,
        begin=0.02,
    ),
}


def alone(config, params, gradients, **changes):
  """What an optimiser of these parameters alone does, by `changes`."""
  config = config.copy_and_resolve_references()
  config.optim.groups = {}
  config.lr.update({k: changes.pop(k) for k in config.lr if k in changes})
  config.optim.update(changes)
  return trained(config, params, gradients)


def test_each_group_has_an_optimiser_and_moves_in_its_turn(config, params):
  config.optim.groups = GROUPS
  config.optim.factors = (('bias', 2.0),)
  gradients = random_like(params, 6)
  after = list(run(config, params, gradients))
  moved = [
      {name for name in params if changed(old[name], new[name])}
      for old, new in itertools.pairwise([params, *after])
  ]
  # Step 1 is before the other group begins.
  first, second = {'backbone'}, {'classifier'}
  assert moved == [first, first, first, second, first, second]

  def part(tree, name):
    return {name: tree[name]}

  options = {
      k: v
      for k, v in GROUPS['last'].items()
      if k not in ('names', 'turn', 'begin')
  }
  assert_close(
      part(after[-1], 'classifier'),
      alone(
          config,
          part(params, 'classifier'),
          [part(gradients[i], 'classifier') for i in (3, 5)],
          **options,
      ),
  )
  assert_close(
      part(after[-1], 'backbone'),
      alone(
          config,
          part(params, 'backbone'),
          [part(gradients[i], 'backbone') for i in (0, 1, 2, 4)],
      ),
  )


def changed(old, new):
  return any(
      (a != b).any()
      for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)
  )


def test_rates_follow_the_run_whosever_turn_it_is(config, params):
  config.lr.schedule = 'poly'
  config.lr.warmup_steps = 3
  config.optim.optimizer = 'sgd(momentum=0.0)'
  config.optim.groups = {
      'weights': dict(names='', turn=0),
      'last': dict(names='classifier', base=0.25, turn=1),
  }
  ones = jax.tree.map(np.ones_like, params)
  after = list(run(config, params, [ones] * 6))
  reported = optim.rates(rate_of(config), config.optim.groups)
  state = create(config).init(params)
  for step in range(1, 6):
    key = 'learning_rate_last' if step % 2 else 'learning_rate'
    name = 'classifier' if step % 2 else 'backbone'
    change = jax.tree.map(np.subtract, after[step], after[step - 1])[name]
    rate = reported(jnp.int32(step), state)[key]
    for x in jax.tree.leaves(change):
      np.testing.assert_allclose(x, -rate, rtol=1e-5)
  assert reported(5, state)['learning_rate_last'] == pytest.approx(
      rates(config)[5] / 2
  )


def test_groups_without_turns_all_move_and_need_no_step(config, params):
  config.optim.groups = {
      'rest': dict(names=''),
      'head': dict(names='^classifier', base=1.0),
  }
  tx = create(config)
  ones = jax.tree.map(np.ones_like, params)
  updates, _ = tx.update(ones, tx.init(params), params)
  assert_close(updates['backbone']['conv']['kernel'], np.full((3, 2), -0.5))
  assert_close(updates['classifier']['bias'], np.full(2, -1.0))


def test_turns_of_groups_that_have_not_begun_go_to_the_first():
  groups = {
      'a': dict(names=''),
      'b': dict(names='b', turn=1, begin=0.3),
      'c': dict(names='c', turn=1, begin=0.5),
      'd': dict(names='d', turn=2, begin=0.6),
  }
  turns = [int(optim.turn(groups, step, total_steps=10)) for step in range(10)]
  assert turns == [0, 0, 0, 0, 1, 0, 0, 1, 2, 0]
  assert optim.turn({}, 7, total_steps=10) == 0


def test_groups_that_take_turns_have_to_be_told_the_step(config, params):
  config.optim.groups = GROUPS
  tx = create(config)
  with pytest.raises(ValueError, match='step=step'):
    tx.update(params, tx.init(params), params)


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (
            dict(names='x', lr=1.0),
            r'groups.other has no option .lr.. Known: na',
        ),
        (dict(turn=1), r'groups.other lacks `names`'),
        (dict(names=''), r'here 2 have it \(first, other\)'),
        (dict(names='('), r'groups.other.names: .\(. is no regular expression'),
        (dict(names='x', decay_on='['), r'other.decay_on: .\[. is no regular'),
        (dict(names='x', turn=2), r'the turns \[0, 2\]; they are counted'),
        (dict(names='x', begin=1.5), r'begin=1.5 is a fraction of the run'),
        (dict(names='x', optimizer='sdg'), "no optimizer 'sdg'"),
        (dict(names='x', schedule='polly'), "no schedule 'polly'"),
    ],
)
def test_a_group_that_is_wrong_is_refused(config, other, message):
  config.optim.groups = {'first': dict(names=''), 'other': other}
  with pytest.raises(ValueError, match=message):
    create(config)


def test_some_group_has_the_steps_of_those_that_have_not_begun(config):
  config.optim.groups = {'first': dict(names='', begin=0.5)}
  with pytest.raises(ValueError, match='a group of turn 0 has begin=0.0'):
    create(config)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (
            ('bias', 'classifier'),
            'classifier/bias belongs to more than one gro',
        ),
        (
            ('bias', 'alphas'),
            r"names='alphas'\) has no parameter.*backbone/conv",
        ),
    ],
)
def test_groups_that_do_not_fit_the_parameters_are_refused(
    config, params, names, message
):
  config.optim.groups = {
      'rest': dict(names=''),
      'a': dict(names=names[0]),
      'b': dict(names=names[1]),
  }
  with pytest.raises(ValueError, match=message):
    create(config).init(params)


VIT = 'vit/tiny(width=8, depth=2, heads=2, patch=8, image_size=(16, 16))'
SWIN = 'swin/mini(width=8, depths=(1, 2, 1, 1), heads=(2, 2, 2, 2))'
CONVNEXT = 'convnext/mini(widths=(8, 8, 8, 8), depths=(1, 2, 1, 1))'


def parameters_of(backbone):
  """Returns the names of its parameters, as those of a system."""
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
  shapes = jax.eval_shape(
      backbones.build(backbone).init, jax.random.key(0), image
  )
  names = optim.by_name({'backbone': shapes['params']}, str)
  return jax.tree.leaves(names)


def layer_factor(backbone, layer_decay, name):
  pairs = optim.layer_factors_of(backbones.build(backbone), layer_decay)
  return optim.factor(pairs, name)


@pytest.mark.parametrize(
    ('backbone', 'exponents'),
    [
        (
            VIT,
            {
                'embed/positions': 3,
                'embed/patch/kernel': 3,
                'block0/attention/qkv/kernel': 2,
                'block1/norm2/scale': 1,
                'norm/scale': 0,
            },
        ),
        (
            SWIN,
            {
                'patches_norm/scale': 6,
                'stage1_0/attention/positions': 5,
                'merge2/reduce/kernel': 5,
                'stage2_0/expand/kernel': 4,
                'stage2_1/expand/kernel': 3,
                'merge3/norm/scale': 3,
                'stage4_0/reduce/bias': 1,
                'norm4/scale': 0,
            },
        ),
        (
            CONVNEXT,
            {
                'patches1/kernel': 6,
                'stage1_0/scale/scale': 5,
                'patches2/kernel': 4,
                'stage2_0/depthwise/kernel': 4,
                'stage2_1/depthwise/kernel': 3,
                'stage4_0/reduce/kernel': 1,
                'norm4/bias': 0,
            },
        ),
    ],
)
def test_the_rate_falls_from_layer_to_layer(backbone, exponents):
  names = parameters_of(backbone)
  for name, exponent in exponents.items():
    assert f'backbone/{name}' in names
    found = layer_factor(backbone, 'layers(decay=0.5)', f'backbone/{name}')
    assert found == 0.5**exponent, name
  assert layer_factor(backbone, 'layers(decay=0.5)', 'block0/kernel') == 1.0


@pytest.mark.parametrize('backbone', [VIT, SWIN, CONVNEXT])
def test_layers_have_all_parameters_but_the_norms_of_levels(backbone):
  pairs = optim.layer_factors_of(backbones.build(backbone), 'layers(0.5)')
  names = parameters_of(backbone)
  outside = {name for name in names if optim.factor(pairs, name) == 1}
  assert all(name.split('/')[1].startswith('norm') for name in outside)
  for pattern, _ in pairs:
    assert any(re.search(pattern, name) for name in names), pattern


def test_the_last_layer_may_learn_as_the_head_or_more_slowly():
  last = 'backbone/block1/norm1/scale'
  assert layer_factor(VIT, 'layers(0.5, last=0)', last) == 1
  assert layer_factor(VIT, 'layers(0.5, last=0)', 'backbone/embed/x') == 0.25
  # The recipe of ConvNeXt-T in mmsegmentation, of six groups.
  for name, exponent in {
      'patches3_norm/scale': 7,
      'stage1_0/norm/bias': 6,
      'stage4_0/norm/bias': 3,
      'norm4/scale': 0,
  }.items():
    found = layer_factor(
        CONVNEXT, 'stages(decay=0.9, last=3)', f'backbone/{name}'
    )
    np.testing.assert_allclose(found, 0.9**exponent)


def test_factors_by_layers_multiply_those_by_name(config):
  config.optim.factors = (('bias$', 2.0), ('frozen', 0.0))
  params = {
      'backbone': {'block0': {'kernel': 1.0, 'bias': 1.0, 'frozen': 1.0}},
      'head': {'bias': 1.0},
  }
  params = jax.tree.map(jnp.float32, params)
  config.optim.optimizer = 'sgd(momentum=0.0)'
  tx = create(config, optim.layer_factors(['block0/'], decay=0.25))
  updates, _ = tx.update(params, tx.init(params), params)
  np.testing.assert_allclose(updates['backbone']['block0']['kernel'], -0.125)
  np.testing.assert_allclose(updates['backbone']['block0']['bias'], -0.25)
  np.testing.assert_allclose(updates['backbone']['block0']['frozen'], 0)
  np.testing.assert_allclose(updates['head']['bias'], -1.0)


@pytest.mark.parametrize(
    ('backbone', 'layer_decay', 'message'),
    [
        (VIT, 'blocks(0.8)', 'no decay by layers'),
        (VIT, 'stages(0.8)', 'convnext has stage_names'),
        ('resnet/tiny', 'layers(0.8)', 'vit, swin and convnext'),
        (VIT, 'layers', 'decay'),
        (VIT, 'layers(1.5)', 'at most 1'),
        (VIT, 'layers(0.5, last=-1)', 'number of times'),
    ],
)
def test_a_wrong_decay_by_layers_is_an_error(backbone, layer_decay, message):
  with pytest.raises(ValueError, match=message):
    optim.layer_factors_of(backbones.build(backbone), layer_decay)


@pytest.mark.parametrize('backbone', [VIT, SWIN, CONVNEXT])
def test_decay_on_kernels_spares_norms_biases_tables_and_scales(backbone):
  names = parameters_of(backbone)
  spared = {n.rsplit('/', 1)[1] for n in names if not n.endswith('kernel')}
  assert spared <= {'bias', 'scale', 'positions', 'class_token', 'registers'}


def test_recipes_of_transformers_slow_down_and_spare_what_papers_do():
  giant = 'vit/dinov2_giant(registers=4)'
  config = eomt.get_config(f'dataset=ade20k,backbone={giant}')
  factors = experiment.layer_factors(config)
  for name, exponent in {'block39': 0, 'block0': 39, 'embed': 39}.items():
    path = f'backbone/{name}/x/kernel'
    found = optim.factor(factors, path)
    found *= optim.factor(config.optim.factors, path)
    np.testing.assert_allclose(found, 0.8**exponent)
  pattern = mask2former.get_config('ade20k,backbone=swin/tiny').optim.decay_on
  for name, decays in {
      'backbone/stage1_0/attention/positions': False,
      'decoder/query_positions': False,
      'decoder/queries': False,
      'pixel_decoder/layer0/norm1/scale': False,
      'pixel_decoder/layer0/mlp/fc1/kernel': True,
  }.items():
    assert bool(re.search(pattern, name)) == decays, name
