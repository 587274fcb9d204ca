import importlib

from flax import linen as nn
import jax
import numpy as np
import pytest

from segjax import models
from segjax import optim
from segjax.artifacts.checkpoint import Checkpoints
from segjax.layers.conv import ConvNormAct
from segjax.models.emanet import EMAUnit
from segjax.ops.resize import resize
from segjax.parallel import Layout
from tests.equal_steps import CLASSES
from tests.equal_steps import make_batch
from tests.equal_steps import make_step
from tests.equal_steps import run

FIELDS = dict(
    backbone='resnet/tiny', features=8, num_bases=4, dropout=0.0, aux_level=''
)
MOVING = ['batch_stats', 'moving']


@pytest.fixture(scope='module')
def model():
  return models.create('emanet', CLASSES, **FIELDS)


class Net(nn.Module):
  """A unit with a convolution before it, which compiles sooner than a model."""

  @nn.compact
  def __call__(self, image, *, train=False):
    x = ConvNormAct(8, stride=2, name='conv')(image, train)
    x = EMAUnit(4, 3, 0.9, True, name='unit')(x, train)
    logits = nn.Dense(CLASSES, name='classifier')(x)
    return {'logits': resize(logits, image.shape[1:3]), 'aux': {}}


def bases(variables):
  return variables['moving']['unit']['attention']['bases']


@pytest.fixture
def image():
  return jax.random.normal(jax.random.key(0), (2, 33, 41, 3))


def test_the_convolution_before_the_bases_has_no_gradient(
    model, image, random_variables
):
  variables = random_variables(model, image.shape)

  def loss(params):
    out, _ = model.apply(
        {**variables, 'params': params},
        image,
        train=True,
        mutable=MOVING,
    )
    return (out['logits'] ** 2).sum()

  gradient = jax.jit(jax.grad(loss))(variables['params'])
  unit = gradient['unit']
  for value in jax.tree.leaves(unit.pop('project')):
    np.testing.assert_array_equal(value, 0)
  for value in jax.tree.leaves(gradient):
    assert np.abs(value).max() > 0


@pytest.mark.parametrize('arg', ['shapes', 'cityscapes', 'voc2012'])
def test_configs_leave_that_convolution_alone(model, image, arg):
  config = importlib.import_module('configs.emanet').get_config(arg)
  params = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  names = optim.by_name(params, lambda name: name)
  frozen = {
      name
      for name in jax.tree.leaves(names)
      if not optim.factor(config.optim.factors, name)
  }
  assert frozen == {'unit/project/kernel', 'unit/project/bias'}


def test_training_moves_the_bases_and_evaluation_does_not(
    model, image, random_variables
):
  variables = random_variables(model, image.shape)
  for train in (True, False):
    _, changed = model.apply(variables, image, train=train, mutable=MOVING)
    assert bases(changed).shape == (FIELDS['features'], FIELDS['num_bases'])
    assert np.array_equal(bases(variables), bases(changed)) != train


@pytest.fixture(scope='module')
def stepped(random_variables):
  """Variables, batches, a step, its first state, and what one device makes."""
  batches = [make_batch(seed) for seed in range(2)]
  variables = random_variables(Net(), batches[0]['image'].shape)
  step, state = make_step(Net(), variables)
  return variables, batches, step, state, run(step, state, batches)


@pytest.mark.parametrize(
    'layout', [Layout(), Layout('jit'), Layout('jit', (4, 2))], ids=str
)
def test_bases_move_alike_on_any_number_of_devices(stepped, layout):
  _, batches, step, state, expected = stepped
  for (ours, _), (theirs, _) in zip(
      run(step, state, batches, layout), expected, strict=True
  ):
    np.testing.assert_allclose(
        bases(ours.mutable), bases(theirs.mutable), atol=1e-5
    )


def test_a_run_goes_on_with_the_bases_that_it_had(stepped, tmp_path):
  _, batches, step, state, ((first, _), (second, _)) = stepped
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, first)
  checkpoints.close()
  restored = Checkpoints(tmp_path).restore(state)
  ((resumed, _),) = run(step, restored, batches[1:])
  jax.tree.map(np.testing.assert_array_equal, resumed, second)


def test_each_part_of_a_batch_moves_the_bases(stepped):
  variables, batches, *_ = stepped
  step, state = make_step(Net(), variables, accumulate=2)
  ((found, _),) = run(step, state, batches[:1])
  image = batches[0]['image']
  for part in (image[::2], image[1::2]):
    _, moved = Net().apply(variables, part, train=True, mutable=MOVING)
    variables = {**variables, **moved}
  np.testing.assert_allclose(bases(found.mutable), bases(variables), atol=1e-5)


@pytest.mark.parametrize('join', [False, True])
def test_the_last_level_is_joined_where_it_is_asked_for(image, join):
  model = models.create('emanet', CLASSES, **FIELDS, join=join)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  assert ('fuse' in variables['params']) == join
