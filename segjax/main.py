"""Trains or evaluates a config: `python -m segjax.main --config=...`."""

import os

from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from segjax.runtime import terminal

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'File with get_config(), and after a colon its argument.'
)
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Folder of the run; it goes on from what is there.'
)
_MODE = flags.DEFINE_enum(
    'mode', 'train', ('train', 'eval'), 'eval scores the best checkpoint.'
)
_STOPPED_CODE = flags.DEFINE_integer(
    'stopped_code', 0, 'Exit code of a run that SIGTERM has stopped.'
)
# Of several processes that train together; on Slurm, with Open MPI and on Cloud
# TPUs they need not be given.
_COORDINATOR = flags.DEFINE_string(
    'coordinator',
    os.environ.get('JAX_COORDINATOR_ADDRESS'),
    'HOST:PORT of process 0.',
)
_NUM_PROCESSES = flags.DEFINE_integer(
    'num_processes',
    os.environ.get('JAX_NUM_PROCESSES'),
    'How many there are; 1 trains alone wherever it is.',
    lower_bound=1,
)
_PROCESS_ID = flags.DEFINE_integer(
    'process_id', os.environ.get('JAX_PROCESS_ID'), 'Index of this one.'
)
_TIMEOUT = flags.DEFINE_integer(
    'startup_timeout', 300, 'Seconds to wait for all of them.', lower_bound=1
)


def main(argv):
  """Runs what the flags say; returns the exit code."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}.')
  # After the flags: --help answers at once.
  from segjax.runtime import compile_cache
  from segjax.runtime import hosts
  from segjax.runtime import malloc

  with (
      hosts.leaving_at_once(),
      terminal.errors_in_words(),
      hosts.explain_lost_peers(),
  ):
    malloc.tune()
    hosts.initialize(
        _COORDINATOR.value,
        _NUM_PROCESSES.value,
        _PROCESS_ID.value,
        _TIMEOUT.value,
    )
    if not hosts.is_first():
      logging.set_verbosity(logging.WARNING)
    compile_cache.enable()
    compile_cache.relax_gc()
    run()


def run():
  """Runs what the flags say."""
  from segjax.artifacts.workdir import Workdir

  config = _CONFIG.value.lock()  # Fails where there is no such file.
  workdir = Workdir(_WORKDIR.value)
  if _MODE.value == 'eval':
    from segjax import evaluate

    evaluate.run(config, workdir)
    return
  # It writes the summaries, and talks about its build when imported.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  from segjax import train

  train.run(config, workdir, _STOPPED_CODE.value)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main, flags_parser=terminal.parse_flags)
