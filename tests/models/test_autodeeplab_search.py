import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import models
from segjax.layers.operations import SEARCHED
from segjax.models import autodeeplab_search

UP, SAME, DOWN = 0, 1, 2


def draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('layers', [1, 2, 4, 5])
@pytest.mark.parametrize('seed', range(4))
def test_no_path_is_more_probable_than_the_one_found(layers, seed):
  betas = autodeeplab_search.normalized_betas(draw(layers, 4, 3, seed=seed))
  betas = np.asarray(betas, np.float64)

  def probability(levels):
    product, before = 1.0, 0
    for moves, level in zip(betas, levels, strict=True):
      product *= moves[before, SAME + level - before]
      before = level
    return product

  paths = [
      path
      for path in itertools.product(range(4), repeat=layers)
      if all(abs(b - a) <= 1 for a, b in zip((0, *path), path, strict=False))
  ]
  best = max(paths, key=probability)
  assert autodeeplab_search.best_levels(betas) == best


def test_weights_of_moves_add_up_as_many_as_there_are():
  betas = autodeeplab_search.normalized_betas(draw(5, 4, 3))
  sums = np.asarray(betas).sum(-1)
  for layer in range(5):
    reached = min(layer + 1, 4)
    expected = np.array([2 / 3, 1, 1, 2 / 3]) * (np.arange(4) < reached)
    np.testing.assert_allclose(sums[layer], expected, rtol=1e-6)
  assert not betas[:, 0, UP].any()
  assert not betas[:, 3, DOWN].any()


def test_the_cell_is_that_of_the_strongest_edges_without_none():
  wanted = ((1, 'sep5'), (0, 'skip'), (2, 'dil3'), (1, 'max3'))
  alphas = np.zeros((2 + 3 + 4, 8), np.float32)
  alphas[:, 0] = 1.0  # None is the strongest of an edge that is not chosen.
  for start, (state, kind), value in zip(
      (0, 0, 2, 2), wanted, (6.0, 5.0, 4.0, 3.0), strict=True
  ):
    alphas[start + state, SEARCHED.index(kind)] = value
  alphas[5:, 0] = 9.0  # And here of all.
  alphas[5 + 3, SEARCHED.index('avg3')] = 2.0
  alphas[5 + 1, SEARCHED.index('dil5')] = 1.0
  cell = autodeeplab_search.best_cell(alphas)
  assert cell == (*wanted, (3, 'avg3'), (1, 'dil5'))


@pytest.mark.parametrize(
    ('levels', 'low'),
    [((0, 0, 0, 1, 2, 1), 2), ((1, 0, 0, 1), 2), ((1, 2, 1), 0), ((0, 0), 1)],
)
def test_the_decoder_joins_the_last_cell_before_the_path_goes_down(levels, low):
  assert autodeeplab_search.first_low(levels) == low


def test_what_is_found_is_a_network():
  params = {'alphas': draw(14, 8), 'betas': draw(4, 4, 3)}
  fields = autodeeplab_search.decode(params)
  model = models.create('autodeeplab', 4, **fields)
  model.check()
  assert len(fields['cell']) == 8


def test_inputs_are_computed_together_as_one_by_one():
  cell = autodeeplab_search.Cell(features=2, blocks=2, size=(6, 8))
  before = draw(2, 12, 16, 4)
  given = {
      'down': 2 + draw(2, 12, 16, 4, seed=1),
      'same': draw(2, 6, 8, 8, seed=2),
      'up': 3 * draw(2, 3, 4, 16, seed=3),
  }
  alphas = jax.nn.softmax(jnp.asarray(draw(5, 8)), -1)
  variables = cell.init(jax.random.key(0), before, given, alphas, False)

  def compute(names):
    chosen = {name: given[name] for name in names}
    kept = {
        kind: {
            name: tree
            for name, tree in variables[kind].items()
            if name not in given or name in names
        }
        for kind in variables
    }
    out, _ = cell.apply(
        kept, before, chosen, alphas, True, mutable=['batch_stats']
    )
    return out

  together = compute(tuple(given))
  for name, result in zip(given, together, strict=True):
    (alone,) = compute((name,))
    np.testing.assert_allclose(result, alone, rtol=1e-4, atol=1e-4)


def test_an_operation_is_the_whole_of_an_edge_whose_weight_it_has():
  block = autodeeplab_search.Block(inputs=1)
  states = [draw(1, 5, 6, 2, seed=i) for i in range(3)]
  weights = np.zeros((3, 8), np.float32)
  variables = block.init(jax.random.key(0), states, weights, False)
  weights[0, SEARCHED.index('skip')] = 1.0
  weights[1, SEARCHED.index('none')] = 1.0
  weights[2, SEARCHED.index('max3')] = 1.0
  out = block.apply(variables, states, weights, False)
  padded = np.pad(states[2], ((0, 0), (1, 1), (1, 1), (0, 0)), 'edge')
  largest = np.max(
      [padded[:, i : i + 5, j : j + 6] for i in range(3) for j in range(3)], 0
  )
  expected = states[0] + largest / np.sqrt(1 + 1e-5)
  np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
