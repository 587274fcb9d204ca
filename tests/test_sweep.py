"""launch/sweep.py, with a launcher that takes notes and writes scores."""

import csv
import json
import pathlib
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


class Sweep:
  """Runs sweep.py with a launcher that takes notes and writes scores."""

  def __init__(self, folder):
    self.root = folder / 'sweep'
    self.notes = folder / 'notes'
    self.launcher = folder / 'launcher.py'
    self.launcher.write_text(
        'import json, pathlib, sys\n'
        f'with open({str(self.notes)!r}, "a") as file:\n'
        '  print(json.dumps(sys.argv[1:]), file=file)\n'
        'workdir = pathlib.Path(sys.argv[2].removeprefix("--workdir="))\n'
        'workdir.mkdir(parents=True, exist_ok=True)\n'
        'if "--config.lr.base=bad" in sys.argv:\n'
        '  sys.exit(1)\n'
        'score = workdir / "score-val.json"\n'
        'score.write_text(\'{"step": 7, "mIoU": 0.5}\')\n'
    )

  def run(self, *arguments):
    """Returns the finished process and the arguments of each launch."""
    self.notes.write_text('')
    process = subprocess.run(
        [
            *(sys.executable, ROOT / 'launch/sweep.py', '--config=c.py'),
            f'--root={self.root}',
            f'--launcher={sys.executable} {self.launcher}',
            *arguments,
        ],
        capture_output=True,
        text=True,
    )
    return process, [json.loads(n) for n in self.notes.read_text().splitlines()]

  def summary(self):
    text = (self.root / 'summary.csv').read_text()
    return list(csv.DictReader(text.splitlines()))


@pytest.fixture
def sweep(tmp_path):
  return Sweep(tmp_path)


def test_a_sweep_runs_the_product_in_numbered_workdirs(sweep):
  process, notes = sweep.run(
      *('--set', 'lr.base', '0.1', '0.2', '--set', 'model.rates', '(1, 2)'),
      *('--', '--config.total_steps=3'),
  )
  assert process.returncode == 0, process.stderr
  assert notes == [
      [
          *('--config=c.py', f'--workdir={sweep.root}/00{i}'),
          *(f'--config.lr.base={lr}', '--config.model.rates=(1, 2)'),
          '--config.total_steps=3',
      ]
      for i, lr in enumerate(('0.1', '0.2'))
  ]
  assert sweep.summary() == [
      {
          **{'run': f'00{i}', 'lr.base': lr, 'model.rates': '(1, 2)'},
          **{'step': '7', 'mIoU': '0.5'},
      }
      for i, lr in enumerate(('0.1', '0.2'))
  ]


def test_a_sweep_that_grows_keeps_its_numbers(sweep):
  sweep.run('--set', 'lr.base', '0.1', '0.2')
  _, notes = sweep.run('--set', 'lr.base', '0.05', '0.2')
  folders = [note[1].rpartition('/')[2] for note in notes]
  assert folders == ['002', '001']
  assert [row['lr.base'] for row in sweep.summary()] == ['0.1', '0.2', '0.05']


def test_a_sweep_goes_on_after_a_run_that_failed_and_tells(sweep):
  process, notes = sweep.run('--set', 'lr.base', 'bad', '0.1')
  assert process.returncode == 1
  assert 'These runs failed: 000' in process.stderr
  assert len(notes) == 2
  assert [row['mIoU'] for row in sweep.summary()] == ['', '0.5']


def test_the_summary_of_a_sweep_can_be_written_later(sweep):
  sweep.run('--set', 'lr.base', 'bad', '0.1')
  (sweep.root / '000/score-val.json').write_text('{"mIoU": 0.25}')
  _, notes = sweep.run('--summary', '--set', 'lr.base', 'bad', '0.1')
  assert not notes
  assert [row['mIoU'] for row in sweep.summary()] == ['0.25', '0.5']


def test_a_dry_sweep_prints_the_commands_and_runs_and_writes_nothing(sweep):
  process, notes = sweep.run('--dry_run', '--set', 'loss', "a('b')", '')
  lines = [shlex.split(line) for line in process.stdout.splitlines()]
  assert [line[-1] for line in lines] == [
      *("--config.loss=a('b')", '--config.loss=')
  ]
  assert not notes
  assert not sweep.root.exists()


@pytest.mark.parametrize(
    ('fields', 'wrong'),
    [
        (['--set', 'lr.base'], 'lr.base has no values'),
        (['--set', 'a', '1', '--set', 'a', '2'], 'a is given twice'),
    ],
)
def test_a_sweep_over_nothing_or_twice_is_refused(sweep, fields, wrong):
  process, notes = sweep.run(*fields)
  assert process.returncode == 2
  assert wrong in process.stderr
  assert not notes
