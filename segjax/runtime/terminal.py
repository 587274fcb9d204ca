"""What a person sees on the terminal: our log lines, and errors in words."""

import contextlib
import logging as std_logging
import os
import pathlib
import sys

from absl import flags
from absl import logging

# Other libraries are heard from warnings on, but Orbax has too many of those.
SPOKEN = (str(pathlib.Path(__file__).parent.parent), f'{os.sep}clu{os.sep}')
SILENT = f'{os.sep}orbax{os.sep}'


class _StandardError:
  """The standard error of the moment: a progress bar puts itself in front."""

  def write(self, text):
    return sys.stderr.write(text)

  def flush(self):
    sys.stderr.flush()

  def close(self):
    """It is not ours to close."""


def speak():
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


def parse_flags(argv):
  """Parses flags, for `app.run`; says in words what is wrong with them."""
  try:
    return flags.FLAGS(argv)
  except (flags.Error, OSError) as error:
    # What a config file raises comes after its traceback.
    wrong = str(error).strip().splitlines()[-1]
  except (AttributeError, KeyError) as error:  # Both are about a KeyError.
    known = (error.__context__ or error).args[0]
    wrong = f'The config has no such field: {known}'
  sys.exit(f'segjax: {wrong}')


@contextlib.contextmanager
def errors_in_words():
  """Ends the program with what was wrong, where the user can mend it.

  Errors of value and of files say what was given and what to do, so their
  traceback is only shown with --verbosity=1.
  """
  speak()
  try:
    yield
  except (ValueError, OSError) as error:
    logging.debug('', exc_info=True)
    sys.exit(f'segjax: {error}')
