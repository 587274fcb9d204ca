"""`segjax COMMAND` runs the programs of segjax."""

import pathlib
import re
import runpy
import sys

import pytest

import segjax
from segjax import __main__ as commands

ROOT = pathlib.Path(segjax.__file__).parent


def run(monkeypatch, *words):
  """Returns the module that `segjax WORD...` runs, and its arguments."""
  started = []
  monkeypatch.setattr(
      runpy,
      'run_module',
      lambda module, **_: started.append((module, sys.argv[1:])),
  )
  monkeypatch.setattr(sys, 'argv', ['segjax', *words])
  monkeypatch.setattr(sys, 'path', [*sys.path])
  commands.main()
  return started[0] if started else None


@pytest.mark.parametrize(
    ('word', 'module', 'flags'),
    [
        ('train', 'segjax.main', []),
        ('evaluate', 'segjax.main', ['--mode=eval']),
        ('predict', 'segjax.predict', []),
        ('convert', 'segjax.convert', []),
        ('crf_search', 'segjax.tools.crf_search', []),
    ],
)
def test_a_command_is_the_program_of_its_name(monkeypatch, word, module, flags):
  assert run(monkeypatch, word, '--a=b', 'c') == (
      module,
      [*flags, '--a=b', 'c'],
  )


def test_every_program_that_the_readme_names_is_a_command():
  readme = (ROOT.parent / 'README.md').read_text()
  named = set(re.findall(r'python -m (segjax\.[\w.]+\w)', readme))
  named.remove('segjax.NAME')  # It stands for all.
  assert named <= {module for module, _ in commands.commands().values()}


def test_help_tells_what_each_command_does(monkeypatch, capsys):
  assert run(monkeypatch) is None
  said = capsys.readouterr().out
  for name in (*commands.ALIASES, *commands.commands()):
    if name != 'main':  # `train` and `evaluate` say it.
      assert re.search(rf'^  {name} +[A-Z].*\.$', said, re.MULTILINE), name


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
  run(monkeypatch, '--version')
  assert capsys.readouterr().out == f'{segjax.__version__}\n'


def test_an_unknown_command_is_answered_with_those_there_are(monkeypatch):
  with pytest.raises(SystemExit, match="'trian'. Known: train, evaluate, .*"):
    run(monkeypatch, 'trian')
