import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax import parallel
from segjax.models import dynamic_routing

CLASSES = 4
SHAPE = (2, 64, 96, 3)


def create(**fields):
  options = {'layers': 4, 'features': 4, 'stem_features': 4, **fields}
  return models.create('dynamic_routing', CLASSES, **options)


def gates(variables):
  """The scores of all gates, {cell: {'kernel': ..., 'bias': ...}}."""
  params = variables['params']
  return {
      name: params[name]['gate']['score']
      for name in params
      if 'gate' in params[name]
  }


@pytest.fixture(scope='module')
def network(random_variables):
  """A model, its variables, an image and its compiled evaluation."""
  model = create()
  variables = random_variables(model, SHAPE)
  for score in gates(variables).values():
    score['bias'] -= 1.0  # So that some are closed.
  image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
  return model, variables, image, jax.jit(model.apply)


def test_an_image_is_routed_the_same_in_any_company(network):
  _, variables, image, apply = network
  variables = jax.tree.map(np.copy, variables)
  # Gates that look at the image alone: for some of these they are closed.
  for score in gates(variables).values():
    score['bias'][:] = 0
  image[1] *= 3
  both = apply(variables, image)
  twice = apply(variables, np.stack([image[1], image[1]]))
  np.testing.assert_allclose(both['mflops'][1], twice['mflops'][0])
  np.testing.assert_allclose(both['logits'][1], twice['logits'][0], rtol=1e-4)


@pytest.mark.parametrize('bias', [-50.0, 50.0])
def test_closed_cells_cost_their_gates_alone(network, bias):
  model, variables, image, apply = network
  variables = jax.tree.map(np.copy, variables)
  for score in gates(variables).values():
    score['kernel'][:] = 0
    score['bias'][:] = bias
  out = apply(variables, image)
  costs = dynamic_routing.Costs(model.cost_size, 4, False)
  paths = [[2, 3], [2, 3, 3], [2, 3, 3, 2], [1, 1, 1, 1]]
  real = costs.stem(4) + costs.decoder(CLASSES)
  real += sum(costs.gate(k, n) for row in paths for k, n in enumerate(row))
  expected = 0.0
  if bias > 0:
    expected = costs.path(0, 'keep') + costs.path(0, 'down')
    for layer, row in enumerate(paths):
      for scale in range(len(row)):
        expected += costs.cell(scale)
        for path in ('keep', 'up', 'down') if layer < 3 else ():
          if (path, scale) not in (('up', 0), ('down', 3)):
            expected += costs.path(scale, path)
  np.testing.assert_allclose(out['expected_mflops'], expected, rtol=1e-5)
  np.testing.assert_allclose(out['mflops'], real + expected, rtol=1e-5)


def test_costs_are_those_of_the_convolutions():
  costs = dynamic_routing.Costs((1024, 2048), 64, True)
  pixels = 256 * 512 / 1e6
  separable = 9 * 64 + 64 * 64
  assert costs.cell(0) == pytest.approx(pixels * (2 * separable + 5 * 64))
  down = pixels * 64 + pixels / 4 * (64 * 128 + 3 * 128)
  assert costs.path(0, 'down') == pytest.approx(down)
  gate = 64 * 128 / 1e6 * (64 * 32 + 4 * 32) + 2 * 32 / 1e6
  assert costs.gate(0, 2) == pytest.approx(gate)


def budget_loss(expected, progress, **options):
  out = {'mflops': jnp.ones(2), 'expected_mflops': jnp.asarray(expected)}
  return dynamic_routing.loss(
      out,
      {'progress': progress},
      jax.random.key(0),
      base=lambda *_: (3.0, {}),
      budget_weight=0.8,
      all_mflops=10.0,
      **options,
  )


@pytest.mark.parametrize(
    ('progress', 'ramp'), [(0.0, 0), (0.4, 0), (0.41, 0.5), (0.42, 1), (1, 1)]
)
def test_the_budget_grows_from_two_fifths_of_the_training_on(progress, ramp):
  total, parts = budget_loss([1.0, 5.0], progress)
  term = 0.8 * ramp * (3.0 / 10 - 0.1) ** 2
  np.testing.assert_allclose(parts['budget'], term, atol=1e-6)
  np.testing.assert_allclose(total, 3 + term, rtol=1e-6)


def test_operations_are_averaged_over_all_devices_before_the_square():
  value = jax.value_and_grad(lambda x: budget_loss(x, 1.0)[0])
  expected, gradient = value(jnp.float32([1, 3, 5, 8]))
  values, gradients = jax.pmap(value, parallel.AXIS, devices=jax.devices()[:2])(
      np.float32([[1, 3], [5, 8]])
  )
  np.testing.assert_allclose(values, [expected] * 2, rtol=1e-6)
  np.testing.assert_allclose(gradients.ravel() / 2, gradient, rtol=1e-5)


def test_drop_path_grows_with_depth_and_progress_and_keeps_the_mean():
  cell = dynamic_routing.Cell(('keep',), 50.0, False, drop=0.5)
  x = jnp.ones((400, 1, 1, 2))
  here = jnp.ones(400, bool)
  variables = jax.jit(cell.init, static_argnums=4)(
      {'params': jax.random.key(0)}, x, here, 0.0, False
  )
  # Without a norm's scale the convolutions give its bias, 1.
  norm = variables['params']['convs']['pointwise2']['norm']
  norm |= {'scale': jnp.zeros(2), 'bias': jnp.ones(2)}

  @jax.jit
  def added(progress):
    (results, _), _ = cell.apply(
        variables,
        x,
        here,
        progress,
        True,
        rngs={'dropout': jax.random.key(1)},
        mutable=['batch_stats'],
    )
    return results['keep'][:, 0, 0, 0] - 1

  np.testing.assert_allclose(added(0.0), 1, rtol=1e-5)
  values = np.round(added(1.0), 4)
  assert set(values.tolist()) == {0.0, 2.0}
  assert abs(values.mean() - 1) < 0.2
  assert abs((added(0.5) == 0).mean() - 0.25) < 0.1


@pytest.mark.parametrize('budget', ['A', 'B', 'C'])
def test_configs_with_a_budget_have_small_gates(budget):
  module = importlib.import_module('configs.dynamic_routing')
  config = module.get_config(f'dataset=cityscapes,budget={budget}')
  model = models.create('dynamic_routing', 19, **config.model)
  assert model.small_gate
  assert model.multiple == 128
  assert config.system_loss.budget == {'A': 0.1, 'B': 0.1, 'C': 0.2}[budget]
