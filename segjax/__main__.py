"""Runs a command: `segjax predict ...` is `python -m segjax.predict ...`.

The commands are the programs of segjax and of segjax/tools. `segjax train` and
`segjax evaluate` are the two modes of segjax.main.
"""

import ast
import os
import pathlib
import runpy
import sys

import segjax

FOLDER = pathlib.Path(__file__).parent
# Command -> the words that it stands for, and what it does.
ALIASES = {
    'train': (('main',), 'Trains a config, or goes on with a run.'),
    'evaluate': (('main', '--mode=eval'), 'Scores a run.'),
}
PROGRAM = "if __name__ == '__main__':"


def commands() -> dict[str, tuple[str, pathlib.Path]]:
  """Returns {command: (module, file)} of all programs."""
  files = {
      **{path.stem: path for path in FOLDER.glob('*.py')},
      **{path.parent.name: path for path in FOLDER.glob('*/__main__.py')},
      **{path.stem: path for path in FOLDER.glob('tools/*.py')},
  }
  return {
      name: (_module(path), path)
      for name, path in sorted(files.items())
      if name[0] != '_' and PROGRAM in path.read_text().splitlines()
  }


def _module(path):
  """Returns the name of the module of a file."""
  parts = path.relative_to(FOLDER.parent).with_suffix('').parts
  return '.'.join(parts).removesuffix('.__main__')


def describe() -> str:
  """Returns the text of --help, with a line for each command."""
  lines = {name: text for name, (_, text) in ALIASES.items()}
  explained = {words[0] for words, _ in ALIASES.values()}
  for name, (_, path) in commands().items():
    if name not in explained:
      docstring = ast.get_docstring(ast.parse(path.read_text()))
      lines[name] = docstring.partition('\n')[0]
  width = max(map(len, lines))
  return '\n'.join(
      [
          'usage: segjax COMMAND [FLAG...]\n',
          *(f'  {name:{width}}  {text}' for name, text in lines.items()),
          '\n`segjax COMMAND --help` shows the flags of a command, and'
          ' `segjax --version` the version.\n',
          'segjax train --config=deeplabv3 --workdir=runs/deeplabv3',
          'segjax predict --workdir=runs/deeplabv3 photos/'
          ' --output=predictions/',
      ]
  )


def main() -> None:
  """Runs the command that the first argument names, with all others."""
  name, *arguments = sys.argv[1:] or ['--help']
  if name in ('--help', '-h', 'help'):
    print(describe())
    return
  if name == '--version':
    print(segjax.__version__)
    return
  (command, *flags), _ = ALIASES.get(name, ((name,), ''))
  known = commands()
  if command not in known:
    sys.exit(
        f'segjax: There is no command {name!r}. Known:'
        f' {", ".join([*ALIASES, *known])}.'
    )
  # A config file may import others of the current folder, as with python -m.
  if not sys.flags.safe_path:
    sys.path[0] = os.getcwd()
  sys.argv[1:] = [*flags, *arguments]
  runpy.run_module(known[command][0], run_name='__main__', alter_sys=True)


if __name__ == '__main__':
  main()
