import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from segjax import optim

TOTAL = 100


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


def rates(config):
  learning_rate = jax.jit(optim.schedule(config.lr, TOTAL))
  return np.array([learning_rate(jnp.int32(step)) for step in range(TOTAL)])


def trained(config, params, gradients):
  """Parameters after a step for each of the gradients."""
  learning_rate = optim.schedule(config.lr, TOTAL)
  tx = optim.create(config.optim, learning_rate)
  state = tx.init(params)
  for gradient in gradients:
    updates, state = tx.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
  return params


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
  learning_rate = jax.jit(optim.schedule(config.lr, total))
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


@pytest.mark.parametrize('name', optim.SCHEDULES)
def test_a_run_of_one_step_has_a_finite_rate(config, name):
  config.lr.schedule = name
  assert optim.schedule(config.lr, 1)(jnp.int32(0)) == 0.5


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
        ('polly', "'polly'. Known: constant, cosine, poly, steps"),
        ('poly(0.9)', r'It is used as poly\(\*, power=0.9, floor=0.0\)'),
        ('poly(gamma=1)', "'gamma'. It is used as poly"),
        ('poly(base=1)', "'base'. It is used as poly"),
    ],
)
def test_a_schedule_that_is_wrong_is_refused(config, text, message):
  config.lr.schedule = text
  with pytest.raises(ValueError, match=message):
    optim.schedule(config.lr, TOTAL)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('sdg', "no optimizer 'sdg'. Known: adam, adamw, sgd"),
        ('sgd(0.9)', r'It is used as sgd\(\*, momentum=0.9, nesterov=False\)'),
        ('sgd(mask=1)', "'mask'. It is used as sgd"),
        ('adam(beta=1)', "'beta'. It is used as adam"),
    ],
)
def test_an_optimizer_that_is_wrong_is_refused(config, text, message):
  config.optim.optimizer = text
  with pytest.raises(ValueError, match=message):
    optim.create(config.optim, optim.schedule(config.lr, TOTAL))


@pytest.mark.parametrize('field', ['decay_on', 'factors'])
def test_a_wrong_regular_expression_is_refused(config, field):
  config.optim[field] = '(' if field == 'decay_on' else (('(', 1.0),)
  with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
    optim.create(config.optim, optim.schedule(config.lr, TOTAL))
