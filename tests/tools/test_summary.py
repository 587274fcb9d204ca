import json

import pytest

from segjax.artifacts import workdir as workdirs
from segjax.runtime import atomic
from segjax.tools import summary
from tests import tiny


def make_run(path, score, *, fold='', seed=0, base=0.02, disk=0.5):
  """Writes what a finished run of `tiny` leaves, as far as scores need it."""
  config = tiny.get_config()
  config.dataset.fold = fold
  config.seed, config.lr.base = seed, base
  path.mkdir()
  workdir = workdirs.Workdir(path)
  atomic.write_json(workdir.config, config.to_dict())
  lines = [
      {'step': 6, 'time': 1e9, 'val/mIoU': 0.99},
      {'step': 12, 'time': 1e9, 'val/IoU/disk': disk, 'val/mIoU': score},
  ]
  workdir.metrics.write_text(''.join(f'{json.dumps(x)}\n' for x in lines))
  return str(path)


def test_mean_and_deviation_are_those_of_the_folds(tmp_path):
  runs = [
      make_run(tmp_path / 'a', 0.5, fold='1/3'),
      make_run(tmp_path / 'b', 0.6, fold='2/3', disk=None),
      make_run(tmp_path / 'c', 0.7, fold='3/3', disk=0.7),
  ]
  head, first, second = summary.table(summary.read(runs)).splitlines()
  assert head.split() == ['mean', 'sd', '1/3', '2/3', '3/3']
  assert first.split() == [
      'mIoU',
      '0.6000',
      '0.1000',
      '0.5000',
      '0.6000',
      '0.7000',
  ]
  # A class that a fold does not show is no 0; the deviation is sqrt(0.02).
  assert second.split() == [
      'IoU/disk',
      '0.6000',
      '0.1414',
      '0.5000',
      '-',
      '0.7000',
  ]


def test_runs_of_several_seeds_are_summed_up_too(tmp_path):
  runs = [make_run(tmp_path / str(i), 0.5 + i / 10, seed=i) for i in range(2)]
  assert list(summary.read(runs)) == ['seed 0', 'seed 1']


def test_missing_folds_are_named(tmp_path, caplog):
  runs = [make_run(tmp_path / f, 0.5, fold=f'{f}/4') for f in ('1', '3')]
  summary.read(runs)
  assert 'missing: 2/4, 4/4' in caplog.text


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (dict(fold='1/3'), '1/3 is given twice'),
        (dict(fold='2/4'), 'several divisions'),
        (dict(fold='2/3', base=0.5), 'lr.base: 0.02 there, 0.5 now'),
        # The seed draws the folds, so these would share examples.
        (dict(fold='2/3', seed=1), 'seed: 0 there, 1 now'),
        (dict(), 'dataset.fold'),
    ],
)
def test_runs_that_differ_otherwise_are_refused(tmp_path, other, message):
  runs = [
      make_run(tmp_path / 'a', 0.5, fold='1/3'),
      make_run(tmp_path / 'b', 0.6, **other),
  ]
  with pytest.raises(ValueError, match=message):
    summary.read(runs)
