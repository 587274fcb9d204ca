"""Terminal output of programs: log lines, and errors without tracebacks."""

from collections.abc import Iterator
import contextlib
import logging as std_logging
import os
import pathlib
import sys

from absl import flags
from absl import logging

from segjax.runtime import config_files

# Log lines of these files are shown. Of other libraries warnings are shown, and
# of Orbax errors alone, since it warns too often.
SPOKEN = (str(pathlib.Path(__file__).parent.parent), f'{os.sep}clu{os.sep}')
SILENT = f'{os.sep}orbax{os.sep}'


class _StandardError:
  """Stream that writes to the current `sys.stderr`.

  A progress bar replaces `sys.stderr` while it is shown.
  """

  def write(self, text):
    return sys.stderr.write(text)

  def flush(self):
    sys.stderr.flush()

  def close(self):
    """Does nothing, since standard error belongs to the interpreter."""


def speak() -> None:
  """Shows the log lines of segjax and of CLU's progress, and warnings."""
  if logging.get_verbosity() < logging.INFO:
    logging.set_verbosity(logging.INFO)
  logging.get_absl_handler().python_handler.setStream(_StandardError())
  logging.get_absl_handler().addFilter(_is_worth_reading)


def _is_worth_reading(record):
  if SILENT in record.pathname:
    return record.levelno >= std_logging.ERROR
  spoken = any(part in record.pathname for part in SPOKEN)
  return spoken or record.levelno >= std_logging.WARNING


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags for `app.run`; exits with a message if they are wrong.

  The flag `config` also finds the configs that come with segjax.
  """
  if 'config' in flags.FLAGS:
    flags.FLAGS['config'].parser = config_files.Parser('config')
  try:
    return flags.FLAGS(argv)
  except (flags.Error, OSError) as error:
    # An error in a config file comes with its traceback, whose last line says
    # what is wrong.
    wrong = str(error).strip().splitlines()[-1]
  except (AttributeError, KeyError) as error:
    # An AttributeError of a config has a KeyError with the message as context.
    known = (error.__context__ or error).args[0]
    wrong = f'The config has no such field: {known}'
  sys.exit(f'segjax: {wrong}')


@contextlib.contextmanager
def errors_in_words() -> Iterator[None]:
  """Context that ends the program with the message of a user's error.

  ValueError and OSError say what was wrong and what to do, so their traceback
  is only shown with --verbosity=1.
  """
  speak()
  try:
    yield
  except (ValueError, OSError) as error:
    logging.debug('', exc_info=True)
    sys.exit(f'segjax: {error}')
