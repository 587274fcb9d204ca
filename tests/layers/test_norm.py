import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import parallel
from segjax import steps
from segjax.layers import norm
from segjax.layers.norm import BatchNorm

NAMES = 'first', 'second'


class Alike(nn.Module):
  """Two norms of one shape."""

  @nn.compact
  def __call__(self, x):
    for name in NAMES:
      x = BatchNorm(True, name=name)(x)
    return x


def test_its_variables_are_those_of_flax():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
  flax = nn.BatchNorm(use_running_average=False, momentum=0.9)
  variables = flax.init(jax.random.key(1), x)
  _, want = flax.apply(variables, x, mutable=['batch_stats'])
  ours = BatchNorm(True)
  jax.tree.map(
      np.testing.assert_array_equal,
      ours.init(jax.random.key(1), x),
      variables,
  )
  _, got = ours.apply(variables, x, mutable=['batch_stats'])
  close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
  jax.tree.map(close, got, want)


@pytest.mark.parametrize('frozen', NAMES)
def test_one_of_two_alike_is_frozen(frozen):
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
  variables = Alike().init(jax.random.key(1), x)
  with steps.freeze_norms(lambda path: path.startswith(f'{frozen}/')):
    _, stats = jax.jit(
        lambda v, x: Alike().apply(v, x, mutable=['batch_stats'])
    )(variables, x)
  for name in NAMES:
    before, after = variables['batch_stats'][name], stats['batch_stats'][name]
    kept = np.array_equal(before['var'], after['var'])
    assert kept == (name == frozen)


class Theirs(nn.Module):
  """A model with a norm of Flax's."""

  @nn.compact
  def __call__(self, x):
    return nn.BatchNorm(use_running_average=False, name='norm')(x)


def test_a_norm_of_flax_is_not_frozen_silently():
  x = np.ones((2, 3, 4, 5), np.float32)
  variables = Theirs().init(jax.random.key(0), x)

  def run(frozen):
    with steps.freeze_norms(lambda path: path.startswith(frozen)):
      return Theirs().apply(variables, x, mutable=['batch_stats'])

  run('another/')
  with pytest.raises(ValueError, match='norm is to be frozen'):
    run('norm/')


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('use_bias', [False, True])
@pytest.mark.parametrize('use_scale', [False, True])
def test_it_is_flax_without_scale_or_bias(train, use_scale, use_bias):
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
  fields = dict(use_scale=use_scale, use_bias=use_bias)
  flax = nn.BatchNorm(use_running_average=not train, **fields)
  ours = BatchNorm(train, **fields)
  variables = random_like(flax.init(jax.random.key(1), x))
  names = variables.get('params', {}).keys()
  assert names == {n for n in ('scale', 'bias') if fields[f'use_{n}']}
  assert jax.tree.structure(ours.init(jax.random.key(1), x)) == (
      jax.tree.structure(variables)
  )
  np.testing.assert_allclose(
      ours.apply(variables, x, mutable=['batch_stats'])[0],
      flax.apply(variables, x, mutable=['batch_stats'])[0],
      rtol=1e-4,
      atol=1e-5,
  )


def random_like(variables):
  rng = np.random.default_rng(0)
  return jax.tree.map(
      lambda x: rng.uniform(0.5, 2.0, x.shape).astype(np.float32), variables
  )


@pytest.mark.parametrize('train', [False, True])
def test_without_parameters_activations_keep_their_type(train):
  layer = BatchNorm(train, use_scale=False, use_bias=False)
  x = jnp.ones((1, 2, 2, 3), jnp.bfloat16)
  y, _ = layer.init_with_output(jax.random.key(0), x)
  assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize('scale', [0.7, -0.7, 0.0])
def test_the_activated_norm_has_an_absolute_scale(scale):
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 1)).astype(np.float32)
  layer = norm.activated_batch_norm(True, epsilon=0.01)
  variables = layer.init(jax.random.key(0), x)
  variables['params'] = {'scale': np.float32([scale]), 'bias': np.ones(1, 'f')}
  y, _ = layer.apply(variables, x, mutable=['batch_stats'])
  want = (x - x.mean()) / np.sqrt(x.var() + 0.01) * (abs(scale) + 0.01) + 1
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-6)


def test_an_image_is_tested_by_its_own_statistics_on_every_device():
  x = np.random.default_rng(0).normal(size=(8, 1, 3, 4, 2)).astype(np.float32)
  x *= np.arange(1, 9)[:, None, None, None, None]
  layer = BatchNorm(False, batch_at_test=True)
  variables = layer.init(jax.random.key(0), x[0])
  y = jax.pmap(lambda x: layer.apply(variables, x), parallel.AXIS)(x)
  mean, variance = (f(x, (1, 2, 3), keepdims=True) for f in (np.mean, np.var))
  want = (x - mean) / np.sqrt(variance + 1e-5)
  np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


class OneByOne(nn.Module):
  """A norm that is tested by the batch."""

  @nn.compact
  def __call__(self, x, train=False):
    return BatchNorm(train, batch_at_test=True, name='norm')(x)


def test_images_are_not_tested_by_the_statistics_of_others():
  x = np.ones((3, 2, 2, 1), np.float32)
  variables = OneByOne().init(jax.random.key(0), x[:1])
  with pytest.raises(ValueError, match='norm normalises .* has 3 images'):
    OneByOne().apply(variables, x)
  OneByOne().apply(variables, x, train=True, mutable=['batch_stats'])


class Deep(nn.Module):
  """Two norms that differ in momentum."""

  @nn.compact
  def __call__(self, x):
    x = BatchNorm(True, momentum=0.9, name='first')(x)
    return BatchNorm(True, momentum=0.99, name='second')(x)


@jax.jit
def apply(variables, batch):
  mutable = [name for name in variables if name != 'params']
  return Deep().apply(variables, batch, mutable=mutable)[1]


def test_statistics_are_collected_from_batches_of_equal_weight():
  rng = np.random.default_rng(0)
  batches = [rng.normal(i, i + 1, (2, 3, 4, 5)) for i in range(3)]
  batches = [batch.astype(np.float32) for batch in batches]
  variables = Deep().init(jax.random.key(0), batches[0])
  variables['params']['first']['bias'] += 2
  variables['batch_stats'] = random_like(variables['batch_stats'])
  apply(variables, batches[0])  # Compiled before, as in training.
  got = norm.precise_statistics(apply, variables, iter(batches))
  assert jax.tree.structure(got) == jax.tree.structure(variables)
  stats = got['batch_stats']
  for name, of in (('mean', np.mean), ('var', np.var)):
    want = np.mean([of(batch, (0, 1, 2)) for batch in batches], 0)
    np.testing.assert_allclose(stats['first'][name], want, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(stats['second']['mean'], 2, rtol=1e-5)
  np.testing.assert_allclose(stats['second']['var'], 1, rtol=1e-4)


def test_a_frozen_norm_keeps_the_statistics_that_it_has():
  x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
  variables = Alike().init(jax.random.key(0), x)
  variables['batch_stats'] = random_like(variables['batch_stats'])

  def frozen(variables, batch):
    with steps.freeze_norms(lambda path: path.startswith('first/')):
      mutable = ['batch_stats', norm.ONE_BATCH]
      return Alike().apply(variables, batch, mutable=mutable)[1]

  got = norm.precise_statistics(frozen, variables, [x, x, 2 * x])
  kept, new = (got['batch_stats'][name] for name in NAMES)
  before = variables['batch_stats']
  jax.tree.map(np.testing.assert_array_equal, kept, before['first'])
  assert (new['mean'] != before['second']['mean']).all()


@pytest.mark.parametrize(
    ('apply', 'batches', 'message'),
    [
        (apply, [], 'at least one batch: got 0'),
        (lambda variables, _: {'batch_stats': 0}, [0], "without 'one_batch"),
    ],
)
def test_statistics_that_cannot_be_collected_are_refused(
    apply, batches, message
):
  with pytest.raises(ValueError, match=message):
    norm.precise_statistics(apply, {'batch_stats': {}}, batches)
