import importlib

import numpy as np
import pytest

from segjax.models import autodeeplab_search
from segjax.tools import genotype
from segjax.tools import random_networks

FACTS = dict(command='a command', date='2001-09-09', hardware='x', cores=2)


def get_config(name='autodeeplab'):
  return importlib.import_module(f'configs.{name}').get_config()


@pytest.fixture
def search():
  params = {
      'alphas': np.zeros((5, 8), np.float32),
      'betas': np.zeros((3, 4, 3), np.float32),
      'stem0': {'kernel': np.ones((3, 3), np.float32)},
  }
  return genotype.Search(4, params, autodeeplab_search.decode)


def test_random_networks_are_drawn_by_seed_and_are_networks(search):
  names = '^(alphas|betas)$'
  drawn = [random_networks.draw(search, names, seed) for seed in (0, 1, 0)]
  assert drawn[0] == drawn[2] != drawn[1]
  assert set(drawn[0]) == {'levels', 'cell', 'low'}
  # What is not of the architecture stays, and the search is not changed.
  assert not search.params['alphas'].any()
  fixed = random_networks.draw(search, '^nothing$', 0)
  assert fixed == search.decode(search.params)


def test_those_of_nearest_cost_are_taken_once_each(monkeypatch):
  monkeypatch.setattr(
      random_networks, 'cost', lambda config: config.model.features
  )
  candidates = [{'features': n} for n in (90, 11, 8, 11, 14)]
  chosen = random_networks.nearest(get_config(), 10, candidates, 2)
  assert chosen == {
      'random1': ({'features': 11}, 11),
      'random2': ({'features': 8}, 8),
  }


def test_the_cost_is_that_of_all_convolutions_and_of_resizing():
  config = get_config('fasterseg')
  branch = ((1,), (0,), ())
  fields = dict(branches=(branch,), features=3, stem_width=12, head_width=12)
  config.model.update(fields)
  height, width = 96, 128
  # Stem, cell, fusion, head and classifier: (stride, taps, inputs, outputs).
  layers = (
      *((2, 9, 3, 12), (4, 9, 12, 24), (4, 9, 24, 24), (8, 9, 24, 24)),
      *((8, 9, 24, 24), (8, 9, 24, 24), (8, 1, 24, 24), (8, 9, 24, 24)),
      (8, 1, 24, 8),
  )
  expected = sum(
      2 * (height // s) * (width // s) * taps * a * b
      for s, taps, a, b in layers
  )
  # Enlarging the scores, rows first.
  expected += 2 * (height * 16 + height * width * 16 // 12) * 12 * 8
  assert random_networks.cost(config) == expected


def test_every_network_is_trained_with_every_seed(monkeypatch, tmp_path):
  seen = []

  def run(config, workdir):
    seen.append((workdir.path.name, config.seed, config.model.low))
    return {'mIoU': 0.25 * config.model.low}

  monkeypatch.setattr(random_networks.train, 'run', run)
  networks = {'found': ({'low': 1}, 10), 'random1': ({'low': 2}, 12)}
  config = get_config()
  scores = random_networks.train_all(config, networks, 2, str(tmp_path))
  assert seen == [
      *(('found-0', 0, 1), ('random1-0', 0, 2)),
      *(('found-1', 1, 1), ('random1-1', 1, 2)),
  ]
  assert scores == {'found': [0.25, 0.25], 'random1': [0.5, 0.5]}
  scores['found'][1] = 0.75
  text = random_networks.page(config, FACTS, networks, scores)
  assert '| found | 0.000 | 25.0 | 75.0 | 50.0 | 35.4 |\n' in text
  assert '- random1: `low=2`' in text
