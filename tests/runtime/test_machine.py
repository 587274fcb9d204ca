"""What is written down of a start, for whoever wants to repeat it."""

import pathlib
import subprocess
import sys

import pytest

from segjax.runtime import machine


@pytest.mark.parametrize(
    ('words', 'command'),
    [
        ('/env/bin/python /env/bin/segjax train --a=b', 'segjax train --a=b'),
        ('python3 -m segjax.main --a=b', 'python -m segjax.main --a=b'),
    ],
)
def test_the_command_is_what_a_user_types(monkeypatch, words, command):
  monkeypatch.setattr(sys, 'orig_argv', words.split())
  assert machine.start()['command'] == command


def git(folder, *arguments):
  who = ('-c', 'user.name=a', '-c', 'user.email=a@example.org')
  command = ['git', *who, '-C', str(folder), *arguments]
  return subprocess.check_output(command, text=True).strip()


def test_the_commit_is_that_of_segjax_and_of_nothing_around_it(
    tmp_path, monkeypatch
):
  git(tmp_path, 'init', '-q')
  git(tmp_path, 'commit', '-q', '--allow-empty', '-m', 'of something else')
  file = tmp_path / 'site-packages/machine.py'
  file.parent.mkdir()
  file.write_text(pathlib.Path(machine.__file__).read_text())
  monkeypatch.setattr(machine, '__file__', str(file))
  assert machine.start()['commit'] == ''
  git(tmp_path, 'add', '.')
  git(tmp_path, 'commit', '-q', '-m', 'of this')
  head = git(tmp_path, 'rev-parse', '--short', 'HEAD')
  assert machine.start()['commit'] == head
