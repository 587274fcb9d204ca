import json
import pathlib
import re

import pytest

from segjax.artifacts import workdir as workdirs
from segjax.runtime import atomic
from segjax.tools import results
from tests import tiny

ROOT = pathlib.Path(__file__).parents[2]


def make_run(path, *, seed=0, score=0.5, steps=12, starts=1):
  """Writes what a run of `tiny` leaves, as far as its log needs it."""
  config = tiny.get_config()
  config.seed = seed
  path.mkdir()
  workdir = workdirs.Workdir(path)
  atomic.write_json(workdir.config, config.to_dict())
  # The second start of a run counts its minutes from 0.
  lines = [
      {'step': 6, 'time': 1e9, 'train/loss': 2.0, 'host/cpu_minutes': 1.5},
      {'step': 6, 'time': 1e9, 'val/mIoU': 0.1, 'val/IoU/disk': 0.1},
      {'step': 12, 'time': 1e9 + 5, 'host/cpu_minutes': 0.75},
      {
          **{'step': 12, 'time': 1e9 + 9, 'val/mIoU': score},
          **{'val/IoU/disk': 0.25, 'val/IoU/box': None, 'val/IoU/ring': 0.75},
          'val/images_per_second': 3.0,
      },
  ]
  text = ''.join(f'{json.dumps(x)}\n' for x in lines if x['step'] <= steps)
  workdir.metrics.write_text(text)
  for start in range(starts):
    workdir.note_start({'commit': f'c{start}', 'command': 'python -m segjax'})
  return str(path)


def test_a_log_has_facts_and_the_scores_of_each_evaluation(tmp_path):
  facts, first, last = results.read(make_run(tmp_path / 'run', starts=2))
  assert facts['system'] == 'deeplabv3'
  assert (facts['steps'], facts['images']) == (12, 8)
  assert facts['cpu_minutes'] == 2.2
  assert facts['date'].startswith('2001-09-09')
  assert facts['commit'] == 'c1'
  assert first == {'step': 6, 'mIoU': 0.1, 'IoU/disk': 0.1}
  assert last['IoU/box'] is None
  assert 'images_per_second' not in last


def test_a_run_that_has_not_ended_has_no_log(tmp_path):
  with pytest.raises(ValueError, match='has not come to its end, step 12'):
    results.read(make_run(tmp_path / 'run', steps=6))


def test_the_page_has_all_runs_and_keeps_those_before(tmp_path):
  folder = tmp_path / 'results'
  results.write([make_run(tmp_path / 'a', seed=1)], folder, replace=False)
  runs = [make_run(tmp_path / 'b', seed=2, score=0.625)]
  page = results.write(runs, folder, replace=False)
  rows = [line for line in page.splitlines() if 'deeplabv3' in line]
  assert len(rows) == 2
  assert ' 50.0 mIoU | 25.0 to 75.0 | 12 x 8 | 1 | 2.2 ' in rows[0]
  assert ' 62.5 mIoU ' in rows[1]
  assert (tmp_path / 'results.md').read_text() == page


def test_the_log_of_another_run_is_not_overwritten(tmp_path):
  folder = tmp_path / 'results'
  one, other = make_run(tmp_path / 'a'), make_run(tmp_path / 'b', score=0.75)
  results.write([one], folder, replace=False)
  with pytest.raises(ValueError, match='has the log of another run'):
    results.write([other], folder, replace=False)
  with pytest.raises(ValueError, match='has the log of another run'):
    results.write([one, other], tmp_path / 'new', replace=False)
  assert '50.0 mIoU' in results.write([one], folder, replace=False)
  assert '75.0 mIoU' in results.write([other], folder, replace=True)


KEPT = results.logs(ROOT / results.FOLDER)


def test_the_page_is_that_of_the_logs_that_are_kept():
  page = (ROOT / 'launch/results.md').read_text()
  assert page.endswith(''.join(map(results.row, KEPT)))
  assert page.count('../segjax/models/') == len(KEPT)
  assert sum(p.stat().st_size for p in (ROOT / results.FOLDER).iterdir()) < 2e6


@pytest.mark.parametrize(
    'log', KEPT, ids=lambda log: f'{log[0]["system"]}-{log[0]["dataset"]}'
)
def test_the_readme_has_the_score_of_the_log(log):
  facts, last = log[0], log[-1]
  rows = re.findall(
      rf'^\| \[.*segjax/models/{facts["system"]}\.py\).*$',
      (ROOT / 'README.md').read_text(),
      re.MULTILINE,
  )
  assert len(rows) == 1
  if facts['seed'] == 0:
    assert f'{100 * last[facts["score"]]:.1f}' in rows[0].split('|')[3]
