"""The launch scripts, with a Python in their way that only takes notes."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PYTHON = """#!/bin/sh
case "$*" in
  -c*) exit $UNUSABLE ;;
  --version) echo "Python $VERSION" ;;
  '-m venv --clear .venv') mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  '-m pip install'*) echo "$*" >> "$NOTES" && exit $PIP_STATUS ;;
  *) echo "$*" >> "$NOTES" ;;
esac
"""


class Project:
  """A copy of the scripts, run from elsewhere with the note-taking Python."""

  def __init__(self, folder):
    self.root = folder / 'a project'
    self.notes = folder / 'notes'
    self.bin = folder / 'bin'
    self.bin.mkdir()
    for name in ('python3', 'python3.13', 'python3.12', 'python3.11'):
      (self.bin / name).write_text(PYTHON)
      (self.bin / name).chmod(0o755)
    shutil.copytree(ROOT / 'launch', self.root / 'launch')
    for name in ('requirements.txt', 'tests/requirements.txt', 'configs/a.py'):
      path = self.root / name
      path.parent.mkdir(exist_ok=True)
      path.write_text(f'{name}\n')

  def run(self, script, *arguments, version='3.12.1', usable=True, pip=0):
    """Returns the finished process and what Python was asked to do."""
    self.notes.write_text('')
    environment = os.environ | {
        'PATH': f'{self.bin}:{os.environ["PATH"]}',
        'NOTES': str(self.notes),
        'VERSION': version,
        'UNUSABLE': '0' if usable else '1',
        'PIP_STATUS': str(pip),
    }
    process = subprocess.run(
        ['bash', self.root / 'launch' / script, *arguments],
        cwd=self.bin,
        env=environment,
        capture_output=True,
        text=True,
    )
    return process, self.notes.read_text().splitlines()


INSTALL = '-m pip install --disable-pip-version-check -r'
TRAIN = '-m segjax.main'


@pytest.fixture
def project(tmp_path):
  return Project(tmp_path)


def test_first_use_installs_and_runs_and_second_use_only_runs(project):
  run = f'{TRAIN} --config=configs/a.py --workdir=runs/a'
  process, notes = project.run('local.sh', '--config=configs/a.py')
  assert process.returncode == 0, process.stderr
  assert notes == [f'{INSTALL} requirements.txt', run]

  process, notes = project.run('local.sh', '--config=configs/a.py')
  assert notes == [run]


def test_only_the_requirements_that_changed_are_installed_again(project):
  project.run('test.sh')
  (project.root / 'tests/requirements.txt').write_text('changed\n')
  _, notes = project.run('test.sh', '-k', 'resize')
  assert notes == [
      f'{INSTALL} tests/requirements.txt',
      '-m pytest -n auto --dist loadfile -k resize',
  ]


def test_tests_reuse_what_training_installed(project):
  project.run('local.sh', '--config=configs/a.py')
  _, notes = project.run('test.sh')
  assert notes[0] == f'{INSTALL} tests/requirements.txt'


def test_failed_installation_is_repeated(project):
  process, notes = project.run('local.sh', '--config=configs/a.py', pip=3)
  assert process.returncode == 3
  assert notes == [f'{INSTALL} requirements.txt']

  process, notes = project.run('local.sh', '--config=configs/a.py')
  assert process.returncode == 0
  assert notes[0] == f'{INSTALL} requirements.txt'


def test_unsupported_python_is_answered_with_what_was_found(project):
  process, notes = project.run(
      'local.sh', '--config=configs/a.py', version='3.9.6', usable=False
  )
  assert process.returncode != 0
  assert 'python3 (Python 3.9.6)' in process.stderr
  assert 'Needed: Python 3.11, 3.12 or 3.13' in process.stderr
  assert not notes
  assert not (project.root / '.venv').exists()


@pytest.mark.parametrize(
    ('arguments', 'workdir'),
    [
        (['--config=configs/a.py:camvid'], 'runs/a-camvid'),
        (['--config', 'configs/a.py:camvid'], 'runs/a-camvid'),
        (['--config=configs/a.py:x=1,y=b/2'], 'runs/a-x-1-y-b-2'),
        (['--config=configs/a.py', '--config.n=4'], 'runs/a'),
    ],
)
def test_workdir_is_named_after_the_config(project, arguments, workdir):
  _, notes = project.run('local.sh', *arguments)
  assert notes[-1] == f'{TRAIN} {" ".join(arguments)} --workdir={workdir}'


@pytest.mark.parametrize('workdir', [['--workdir=x'], ['--workdir', 'x']])
def test_given_workdir_is_kept(project, workdir):
  _, notes = project.run('local.sh', '--config=configs/a.py', *workdir)
  assert notes[-1] == f'{TRAIN} --config=configs/a.py {" ".join(workdir)}'


def test_missing_config_is_answered_with_the_configs_there_are(project):
  process, notes = project.run('local.sh', '--workdir=x')
  assert process.returncode == 2
  assert 'configs/a.py' in process.stderr
  assert not notes


def test_help_explains_and_installs_nothing(project):
  process, notes = project.run('local.sh', '--help')
  assert process.returncode == 0
  assert '--workdir=DIR' in process.stdout
  assert not notes
