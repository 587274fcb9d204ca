"""Finds config files: those of the user, and those that come with segjax.

The configs lie beside the package in a checkout, and inside it where it is
installed. `--config=configs/deeplabv3.py` and `--config=deeplabv3` mean the one
of segjax unless there is a file of that name in the current folder.
"""

import contextlib
import importlib
import pathlib
import sys
import types

import ml_collections
from ml_collections.config_flags import config_flags

PACKAGE = 'configs'
SHARED = 'common'  # What configs share; it is no config itself.


def folder() -> pathlib.Path:
  """Returns the folder with the configs of segjax."""
  package = pathlib.Path(__file__).resolve().parent.parent
  installed = package / PACKAGE
  return installed if installed.is_dir() else package.parent / PACKAGE


def names() -> list[str]:
  """Returns the names of the configs of segjax, sorted."""
  found = (path.stem for path in folder().glob('*.py'))
  return sorted(name for name in found if name != SHARED)


def find(text: str) -> pathlib.Path:
  """Returns the path of the config file that is meant.

  Args:
    text: path of a file, or name of a config of segjax, with or without
      'configs/' before and '.py' after it.

  Raises:
    ValueError: there is no such file and no such config.
  """
  path = pathlib.Path(text)
  if path.is_file():
    return path
  of_segjax = str(path.parent) in ('.', PACKAGE) and path.suffix in ('', '.py')
  if of_segjax and path.stem in names():
    return folder() / f'{path.stem}.py'
  raise ValueError(
      f'There is no config file {text}, and no config of that name comes with'
      f' segjax. Known: {", ".join(names())}.'
  )


def share_common(path: pathlib.Path) -> None:
  """Makes `from configs import common` work in a config file.

  A config of segjax gets the `configs` of segjax. One of the user gets what it
  finds without this, such as a folder `configs` of the user, and the modules
  that are missing there from segjax.
  """
  ours = str(folder())
  package = types.ModuleType(PACKAGE)
  package.__path__ = []
  if path.resolve().parent != folder():
    with contextlib.suppress(ModuleNotFoundError):
      package = importlib.import_module(PACKAGE)
  found = getattr(package, '__path__', ())  # A file configs.py has none.
  package.__path__ = [*found, ours]
  sys.modules[PACKAGE] = package


class Parser(config_flags.ConfigFileFlagParser):
  """Parser of a config flag that finds the configs of segjax, too."""

  def parse(self, path):
    """Returns what `get_config` of the file makes of the argument.

    Args:
      path: as in `find`, with the argument of `get_config` after a colon.
    """
    name, colon, argument = path.partition(':')
    file = find(name)
    share_common(file)
    return super().parse(f'{file}{colon}{argument}')


def load(text: str) -> ml_collections.ConfigDict:
  """Returns the config that a flag `--config=TEXT` gives.

  Args:
    text: as in `find`, with the argument of `get_config` after a colon.
  """
  return Parser('config').parse(text)
