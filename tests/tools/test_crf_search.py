import csv
import subprocess
import sys

import numpy as np
import pytest

from segjax import experiment
from segjax import predict
from segjax.data.datasets import shapes
from segjax.evaluation import semantic
from segjax.tools import crf_search
from tests import saved_run
from tests import tiny

GRID = (
    'dense_crf(gaussian=([0.5, 3.0], 1.0), bilateral=(1.0, [5.0, 9.0], 13.0))'
)


@pytest.fixture(scope='module')
def workdir(tmp_path_factory, random_variables):
  """A run with weights of no meaning."""
  config = tiny.get_config()
  model = experiment.model(config, shapes.LABEL_MAP)
  variables = random_variables(model, (1, 32, 48, 3))
  return saved_run.save(tmp_path_factory.mktemp('run'), config, variables)


def test_a_list_stands_for_its_elements():
  assert crf_search.expand(GRID) == [
      'dense_crf(gaussian=(0.5, 1.0), bilateral=(1.0, 5.0, 13.0))',
      'dense_crf(gaussian=(0.5, 1.0), bilateral=(1.0, 9.0, 13.0))',
      'dense_crf(gaussian=(3.0, 1.0), bilateral=(1.0, 5.0, 13.0))',
      'dense_crf(gaussian=(3.0, 1.0), bilateral=(1.0, 9.0, 13.0))',
  ]
  assert crf_search.expand('[dense_crf, conv_crf]') == [
      'dense_crf',
      'conv_crf',
  ]
  assert crf_search.expand('dense_crf(bilateral=[(), (1.0, 9.0, 2.0)])') == [
      'dense_crf(bilateral=())',
      'dense_crf(bilateral=(1.0, 9.0, 2.0))',
  ]


@pytest.mark.parametrize(
    ('grid', 'message'),
    [
        ('dense_crf(', 'Cannot read the grid'),
        ('sparse([1, 2])', "no refinement 'sparse'. Known: cascade_psp"),
        ('dense_crf(iterations=[5, 0])', 'iterations=0 must be at least 1'),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_is_predicted(grid, message):
  with pytest.raises(ValueError, match=message):
    crf_search.search(None, 'val', grid)


def test_the_program_ranks_all_calls_and_no_crf(workdir):
  subprocess.run(
      [
          *(sys.executable, '-m', 'segjax.tools.crf_search', f'--grid={GRID}'),
          *(f'--workdir={workdir.path}', '--split=val', '--limit=3'),
      ],
      check=True,
  )
  with (workdir.path / 'crf-val.csv').open() as file:
    header, *rows = csv.reader(file)
  assert header == ['mIoU', 'crf']
  assert {call for _, call in rows} == {'', *crf_search.expand(GRID)}
  scores = [float(score) for score, _ in rows]
  assert scores == sorted(scores, reverse=True)

  # What prediction with the string of a row gives has the score of that row.
  config = workdir.read_config()
  val = shapes.load('val', **config.dataset.options)
  for score, call in (rows[0], rows[-1]):
    predictor = predict.load(workdir.path, refine=call)
    counts = sum(
        semantic.confusion(
            predictor(val[i]['image'])[0],
            val[i]['label'],
            val.label_map.num_classes,
        )
        for i in (0, 5, 10)  # Evenly from all 16.
    )
    expected = semantic.scores(counts)['mIoU']
    np.testing.assert_allclose(float(score), expected, rtol=1e-6)
