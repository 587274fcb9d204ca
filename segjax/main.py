"""Trains or evaluates a config: `python -m segjax.main --config=...`."""

import os

from absl import app
from absl import flags
from ml_collections import config_flags

from segjax import console

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'File with get_config(), and after a colon its argument.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Folder of the run; it goes on from what is there.'
)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ('train', 'eval'), 'eval scores the best checkpoint.'
)


def main(argv):
  """Runs what the flags say; returns the exit code."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  # After the flags: --help answers at once.
  from segjax.workdir import Workdir

  with console.errors_in_words():
    config = _CONFIG.value.lock()  # Fails where there is no such file.
    workdir = Workdir(_WORKDIR.value)
    if _MODE.value == 'eval':
      from segjax import evaluate

      evaluate.run(config, workdir)
    else:
      # It writes the summaries, and talks about its build when imported.
      os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
      from segjax import train

      train.run(config, workdir)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main, flags_parser=console.parse_flags)
