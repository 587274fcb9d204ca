"""What a case computes, on models and fixtures of a few numbers."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from tests.parity import compare
from tests.parity import forward
from tests.parity.case import Case
from tests.parity.case import FunctionCase
from tests.parity.case import ProcedureCase
from tests.parity.case import inside
from tests.parity.case import returned

IMAGE = {'shape': [1, 4, 5, 3], 'salt': 'public'}
STREAMS = {'sample': 1}


class Codebook(nn.Module):
  """Keeps a moving mean in a collection of its own; training returns more."""

  @nn.compact
  def __call__(self, image, train=False):
    x = nn.Dense(2, name='dense')(image)
    mean = self.variable('moving', 'mean', jnp.zeros, 2)
    if not train:
      return {'logits': x - mean.value}
    if not self.is_initializing():
      mean.value = 0.5 * mean.value + 0.5 * x.mean((0, 1, 2))
    points = jax.random.uniform(self.make_rng('sample'), (4, 2))
    return {'logits': x, 'points': nn.Dense(1, name='dense2')(points)}


def spec(**outputs):
  return {'input': IMAGE, 'state': [], 'outputs': outputs}


def training(model, variables, image, given):
  del variables
  variables = model.init(jax.random.key(0), image, train=True)
  first = forward.call(
      model,
      variables,
      image,
      train=True,
      parts=['dense'],
      streams={'sample': 1},
  )
  second = forward.call(
      model, first.variables, image, train=True, streams=STREAMS
  )
  after = forward.call(model, second.variables, image)
  return {
      'dense': first.parts['dense'],
      'mean_1': first.variables['moving']['mean'],
      'mean_2': second.variables['moving']['mean'],
      'logits': after.out['logits'],
      'scaled': given['factor'] * after.out['logits'],
  }


def test_variables_of_any_collection_after_one_and_two_training_calls():
  case = ProcedureCase(lambda spec: Codebook(), training)
  computed = case.compute(spec(), {'in_factor': np.float32(3)})
  mean = computed['dense'].mean((0, 1, 2))
  np.testing.assert_allclose(computed['mean_1'], mean / 2, rtol=1e-5)
  np.testing.assert_allclose(computed['mean_2'], mean * 0.75, rtol=1e-5)
  np.testing.assert_allclose(
      computed['logits'], computed['dense'] - mean * 0.75, atol=1e-5
  )
  np.testing.assert_allclose(
      computed['scaled'], 3 * computed['logits'], rtol=1e-6
  )


class Points(nn.Module):
  """Training returns points that it draws, and their scores."""

  @nn.compact
  def __call__(self, image, train=False):
    out = {'logits': nn.Dense(2, name='dense')(image)}
    head = nn.Dense(1, name='head')
    scores = head(out['logits'])
    if train:
      out['points'] = jax.random.uniform(self.make_rng('sample'), (4, 2))
      out['scores'] = scores
    return out


STATE = [
    [f'{layer}.{leaf}', shape]
    for layer, leaf, shape in (
        ('dense', 'weight', [2, 3]),
        ('dense', 'bias', [2]),
        ('head', 'weight', [1, 2]),
        ('head', 'bias', [1]),
    )
]


def test_outputs_of_training_alone_and_of_a_random_stream():
  case = Case(
      lambda spec: Points(),
      (('(dense|head)', r'\1'),),
      {
          'logits': returned('logits'),
          'points': returned('points'),
          'head': inside('head'),
          'scores': returned('scores'),
      },
      parts=('head',),
      streams=STREAMS,
  )
  outputs = ('logits', 'train_logits', 'train_points', 'head', 'train_scores')
  computed = case.compute(
      {**spec(**dict.fromkeys(outputs)), 'state': STATE}, {}
  )
  assert set(computed) == set(outputs)
  assert computed['train_points'].shape == (4, 2)
  np.testing.assert_array_equal(computed['train_scores'], computed['head'])


class Halves(nn.Module):
  """Two steps that are called on their own, one of them in a mode."""

  def setup(self):
    self.dense = nn.Dense(2)

  def __call__(self, image, train=False):
    return self.second(self.first(image), train=train)

  def first(self, image):
    return self.dense(image)

  def second(self, x, train):
    return -x if train else x


def test_methods_are_called_on_their_own():
  image = np.ones((1, 2, 2, 3), np.float32)
  variables = Halves().init(jax.random.key(0), image)
  whole = forward.call(Halves(), variables, image, train=True).out
  first = forward.call(Halves(), variables, image, method='first').out
  second = forward.call(
      Halves(), variables, first, method='second', train=True
  ).out
  np.testing.assert_array_equal(second, whole)
  np.testing.assert_array_equal(first, -whole)


def test_a_single_number_has_the_shape_of_the_fixture():
  case = FunctionCase({'loss': lambda given: given['x'].sum()})
  computed = case.compute(spec(loss=[1]), {'in_x': np.ones(3)})
  np.testing.assert_array_equal(computed['loss'], [3])


def test_integers_may_differ_in_the_share_that_is_allowed():
  ids = np.arange(20)
  error = compare.error(np.where(ids == 3, 99, ids), ids)
  assert error == 1 / 20
  case = FunctionCase({}, differing={'ids': 0.05})
  assert compare.tolerance(case, {}, 'ids', ids) == 0.05
  assert compare.tolerance(case, {}, 'other_ids', ids) == 0
  table = {'tolerance': {'ids': 0.01}}
  assert compare.tolerance(case, table, 'ids', ids) == 0.01


def test_tolerances_are_those_of_the_fixture_first():
  case, x = FunctionCase({}), np.ones(3)
  noise = {'float32_error': {'x': 1e-2, 'train_x': 1e-3, 'train_y': 1e-5}}
  assert compare.tolerance(case, noise, 'x', x) == 1e-3
  assert compare.tolerance(case, noise, 'train_x', x) == 2e-2
  assert compare.tolerance(case, noise, 'train_y', x) == 1e-2
  table = {**noise, 'tolerance': {'train_x': 3e-5}}
  assert compare.tolerance(case, table, 'train_x', x) == 3e-5
  # Words of a fixture's notes are no float32 error.
  notes = {'notes': 'Conditioning: train_x 1e-02'}
  assert compare.tolerance(case, notes, 'train_x', x) == 1e-2


def test_errors_are_in_standard_deviations_and_absolute_without_spread():
  theirs = np.array([0.0, 20.0])
  assert compare.error(theirs + [0, 1], theirs) == 0.1
  assert compare.error(np.array([5.5, 5.0]), np.full(2, 5.0)) == 0.5
  assert compare.error(np.array(7.25), np.array(7.0)) == 0.25
  assert compare.error(np.zeros((2, 1)), np.zeros(2)) == np.inf
  assert compare.error(np.zeros(0), np.zeros(0)) == 0


def test_numbers_that_are_not_finite_have_to_be_so_at_the_same_places():
  theirs = np.array([1.0, np.nan, 3.0])
  assert compare.error(theirs, theirs) == 0
  assert not compare.error(np.array([np.nan, np.nan, 3.0]), theirs) < 1
  assert compare.error(np.array([1.0, 2.0, 3.0]), theirs) == np.inf
